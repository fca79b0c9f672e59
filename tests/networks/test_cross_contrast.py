# SPDX-License-Identifier: Apache-2.0
"""The network's paths, shapes, limits and refusals."""

from __future__ import annotations

import pytest
import torch
from monai.losses import SSIMLoss
from torch.utils.flop_counter import FlopCounterMode

from scripts.bundle_config import load_config
from scripts.losses import CrossContrastLoss
from scripts.networks import STRATEGIES, CrossContrastNet, SkipGate


def network(strategy: str = "source_skip", **changes) -> CrossContrastNet:
    torch.manual_seed(0)
    settings = {
        "contrasts": ["PD", "PDFS"],
        "encoder": {"features": [8, 12], "latent_channels": 16},
        "decoder_a": {"features": [12, 8]},
        "decoder_b": {"features": [12, 8]},
        "cross_domain_strategy": strategy,
        "allow_asymmetric": strategy == "zero_skip",
    }
    return CrossContrastNet(**(settings | changes)).eval()


def pair(height: int = 24, width: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.rand(2, 2, 1, height, width, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (5, 64), (1, 1)])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_any_height_and_width_come_back(strategy: str, size: tuple[int, int]) -> None:
    assert network(strategy)(torch.rand(1, 1, *size)).shape == (1, 1, *size)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_cross_paths_of_training_are_the_product(strategy: str) -> None:
    net, (a, b) = network(strategy), pair()
    paths = net.pair(a, b)
    torch.testing.assert_close(paths["b_from_a"], net(a, 1))
    torch.testing.assert_close(paths["a_from_b"], net(b, 0))


def test_the_two_targets_differ_and_the_default_is_b() -> None:
    net, (a, _) = network(), pair()
    assert not torch.allclose(net(a, 0), net(a, 1))
    assert torch.equal(net(a), net(a, 1))


@pytest.mark.parametrize(
    ("strategy", "same", "cross"),
    [("no_skip", 0, 0), ("zero_skip", 1, 0), ("source_skip", 1, 1), ("gated_skip", 1, 1)],
)
def test_what_reaches_each_path_through_the_skips(strategy: str, same: int, cross: int, monkeypatch) -> None:
    """Disturb the skips only: paths that see them change, the others do not."""
    net, (a, b) = network(strategy), pair()
    before = net.pair(a, b)
    encode = net.encoder.forward
    monkeypatch.setattr(net.encoder, "forward", lambda x: (lambda z, s: (z, [skip + 1 for skip in s]))(*encode(x)))
    after = net.pair(a, b)
    changed = {name: not torch.allclose(before[name], after[name]) for name in before}
    assert changed["a_from_a"] is changed["b_from_b"] is bool(same)
    assert changed["b_from_a"] is changed["a_from_b"] is bool(cross)


def test_a_closed_gate_lets_no_skip_through(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (a, _) = network("gated_skip"), pair()
    for decoder in (net.decoder_a, net.decoder_b):
        for level in decoder.levels:
            level.gate.ask.bias.data.fill_(-50)
    before = net(a)
    encode = net.encoder.forward
    monkeypatch.setattr(net.encoder, "forward", lambda x: (lambda z, s: (z, [skip + 1 for skip in s]))(*encode(x)))
    torch.testing.assert_close(net(a), before)


def test_skips_are_dropped_in_training_alone_and_whole() -> None:
    gate, skip = SkipGate(3, 5, dropout=0.4), torch.ones(2000, 5, 2, 2)
    x = torch.zeros(2000, 3, 2, 2)  # the gate is half open
    assert torch.equal(gate.eval()(x, skip), 0.5 * skip)
    there = gate.train()(x, skip).flatten(1)
    assert bool(((there == 0).all(1) | (there == 0.5).all(1)).all())
    assert float((there[:, 0] > 0).float().mean()) == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_encoders_see_one_contrast_each(strategy: str) -> None:
    net, (a, b) = network(strategy, shared_encoder=False), pair()
    paths = net.pair(a, b)
    torch.testing.assert_close(paths["b_from_a"], net(a, 1))
    torch.testing.assert_close(paths["a_from_b"], net(b, 0))
    with torch.no_grad():
        for parameter in net.encoder_b.parameters():
            parameter.add_(0.1)
    changed = {name: not torch.allclose(paths[name], after) for name, after in net.pair(a, b).items()}
    assert not (changed["z_a"] or changed["a_from_a"] or changed["b_from_a"])
    assert changed["z_b"] and changed["b_from_b"] and changed["a_from_b"]


def test_a_slice_does_not_depend_on_its_batch() -> None:
    net, (a, _) = network(), pair(48, 40)
    torch.testing.assert_close(net(a)[:1], net(a[:1]))


def test_an_untrained_network_passes_the_signal_on() -> None:
    """The code varies over the image, and outputs are of the size of an image: nothing drowns or explodes."""
    definition = load_config("bundle/configs/train.yaml")["network_def"] | {"contrasts": ["PD", "PDFS"]}
    definition.pop("_target_")
    torch.manual_seed(0)
    with torch.no_grad():
        paths = CrossContrastNet(**definition).pair(*pair(64, 64))
    assert float(paths["z_a"].std((2, 3)).mean()) > 0.3
    assert float(paths["b_from_a"].abs().max()) < 2


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_scripts_and_gives_the_same(strategy: str, shared: bool) -> None:
    net, (a, _) = network(strategy, shared_encoder=shared), pair()
    with pytest.warns(DeprecationWarning):
        scripted = torch.jit.script(net)
    for target in (0, 1):
        torch.testing.assert_close(scripted(a, target), net(a, target))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cross_domain_strategy": "all_skip"}, "choose one of"),
        ({"cross_domain_strategy": "zero_skip"}, "allow_asymmetric"),
        ({"same_domain_use_skip": False}, "same_domain_use_skip"),
        ({"cross_domain_strategy": "no_skip", "same_domain_use_skip": True}, "zero_skip"),
        ({"decoder_b": {"features": [8]}}, "levels"),
        ({"contrasts": ["PD", "PD"]}, "two different"),
        ({"skip_dropout": 1.0}, "skip_dropout"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        network(**({"allow_asymmetric": False} | changes))


def test_the_shipped_architecture_keeps_its_limits() -> None:
    definition = load_config("bundle/configs/inference.yaml")["network_def"] | {"contrasts": ["PD", "PDFS"]}
    definition.pop("_target_")
    net = CrossContrastNet(**definition)
    assert sum(parameter.numel() for parameter in net.parameters()) <= 4.0e6
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 1, 320, 320))
    assert counter.get_total_flops() <= 30e9


WEIGHTS = {"content": 0.5, "recon": 0.1, "cross": 1.0}


def perfect(a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
    z = torch.rand(2, 4, 3, 3)
    return {"z_a": z, "z_b": z, "a_from_a": a, "b_from_b": b, "b_from_a": b, "a_from_b": a}


def test_the_loss_is_nothing_at_equality_and_the_weighted_sum_elsewhere() -> None:
    a, b = pair()
    loss = CrossContrastLoss(WEIGHTS)
    assert all(float(value) == 0 for value in loss(perfect(a, b), a, b).values())
    off = {
        name: value + 0.2 if name in ("z_a", "a_from_a", "b_from_a") else value for name, value in perfect(a, b).items()
    }
    terms = {name: float(value) for name, value in loss(off, a, b).items()}
    assert terms == pytest.approx({"content": 0.2, "recon": 0.2, "cross": 0.2, "loss": 0.32}, rel=1e-5)


def test_small_differences_between_images_count_squared_if_asked() -> None:
    a, b = pair()
    off = {name: value + 0.2 if name in ("z_a", "b_from_a") else value for name, value in perfect(a, b).items()}
    off["a_from_b"] = a + 0.8
    terms = CrossContrastLoss(WEIGHTS, squared_below=0.4)(off, a, b)
    assert float(terms["content"]) == pytest.approx(0.2, rel=1e-5)
    assert float(terms["cross"]) == pytest.approx(0.2**2 / 0.8 + (0.8 - 0.2), rel=1e-5)
    with pytest.raises(ValueError, match="squared_below"):
        CrossContrastLoss(WEIGHTS, squared_below=-0.1)


def test_a_known_lesion_counts_as_often_as_asked() -> None:
    a, b = pair()
    lesion = torch.zeros_like(b)
    lesion[..., :6, :] = 1  # a quarter of the image
    off = perfect(a, b) | {"b_from_a": b + 0.2, "a_from_a": a + 0.2}
    loss = CrossContrastLoss(WEIGHTS, lesions=7.0)
    assert float(loss(off, a, b, lesion=lesion)["cross"]) == pytest.approx(0.2 * (0.75 + 0.25 * 8), rel=1e-5)
    assert float(loss(off, a, b, lesion=lesion)["recon"]) == pytest.approx(0.2, rel=1e-5)
    assert float(loss(off, a, b)["cross"]) == pytest.approx(0.2, rel=1e-5)  # none is known
    assert float(CrossContrastLoss(WEIGHTS)(off, a, b, lesion=lesion)["cross"]) == pytest.approx(0.2, rel=1e-5)
    with pytest.raises(ValueError, match="lesions -1"):
        CrossContrastLoss(WEIGHTS, lesions=-1.0)


def test_each_term_reaches_the_network_with_a_finite_gradient() -> None:
    a, b = pair()
    for term in WEIGHTS:
        net = network()
        CrossContrastLoss(WEIGHTS)(net.pair(a, b), a, b)[term].backward()
        gradient = net.encoder.stem[1].weight.grad
        assert torch.isfinite(gradient).all()
        assert float(gradient.abs().sum()) > 0


def test_recon_is_of_the_target_or_of_what_was_given() -> None:
    a, b = pair()
    noisy = a + 0.1, b - 0.3
    assert float(CrossContrastLoss(WEIGHTS)(perfect(a, b), a, b, noisy)["recon"]) == 0
    identity = CrossContrastLoss(WEIGHTS, recon_of="input")
    assert float(identity(perfect(a, b), a, b, noisy)["recon"]) == pytest.approx(0.4, rel=1e-5)
    assert float(identity(perfect(a, b), a, b)["recon"]) == 0
    with pytest.raises(ValueError, match="recon_of"):
        CrossContrastLoss(WEIGHTS, recon_of="noise")


@pytest.mark.parametrize(("anchor", "moved"), [(None, {"a", "b"}), ("a", {"b"}), ("b", {"a"})])
def test_content_leaves_the_code_of_its_anchor_alone(anchor: str | None, moved: set[str]) -> None:
    codes = {name: torch.rand(1, 4, 3, 3, requires_grad=True) for name in "ab"}
    image = torch.zeros(1, 1, 8, 8)
    paths = {"z_a": codes["a"], "z_b": codes["b"], "b_from_a": image, "a_from_b": image}
    CrossContrastLoss(WEIGHTS, content_anchor=anchor)(paths, image, image)["content"].backward()
    assert {name for name, code in codes.items() if code.grad is not None} == moved


def test_structure_and_edges_count_only_with_a_weight() -> None:
    a, b = torch.rand(2, 1, 24, 24), torch.rand(2, 1, 24, 24)
    loss = CrossContrastLoss(WEIGHTS, structure=2.0, edges=3.0)
    assert set(CrossContrastLoss(WEIGHTS)(perfect(a, b), a, b)) == {"loss", "content", "recon", "cross"}
    terms = loss(perfect(a, b), a, b)
    assert all(float(value) == pytest.approx(0, abs=1e-5) for value in terms.values())
    # A constant has no edges; half the contrast has half of them.
    off = perfect(a, b) | {"b_from_a": b + 0.5, "a_from_b": a / 2}
    terms = loss(off, a, b)
    steps = a.diff(dim=-1).abs().mean() + a.diff(dim=-2).abs().mean()
    assert float(terms["edges"]) == pytest.approx(float(steps) / 2, rel=1e-4)
    assert 0.1 < float(terms["structure"]) < 2
    expected = terms["cross"] + 2 * terms["structure"] + 3 * terms["edges"]
    assert float(terms["loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_structure_is_the_loss_that_monai_computes_in_value_and_gradient() -> None:
    a, b = torch.rand(2, 1, 40, 64), torch.rand(2, 1, 40, 64)
    x = (0.5 * a + 0.3 * torch.rand_like(a)).requires_grad_()
    y = (0.5 * b + 0.3 * torch.rand_like(b)).requires_grad_()
    terms = CrossContrastLoss(WEIGHTS, structure=1.0)({"b_from_a": y, "a_from_b": x}, a, b)
    theirs = SSIMLoss(spatial_dims=2)
    expected = theirs(x, a) + theirs(y, b)
    torch.testing.assert_close(terms["structure"], expected)
    torch.testing.assert_close(
        torch.autograd.grad(terms["structure"], (x, y)), torch.autograd.grad(expected, (x, y)), atol=1e-8, rtol=1e-4
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_paths_that_cross_are_the_same_without_the_others(strategy: str) -> None:
    net, (a, b) = network(strategy).eval(), pair()
    with torch.no_grad():
        whole, part = net.pair(a, b), net.pair(a, b, same_domain=False)
    assert set(part) == {"z_a", "z_b", "b_from_a", "a_from_b"}
    for name, image in part.items():
        torch.testing.assert_close(image, whole[name])


@pytest.mark.parametrize("weights", [{"content": 1.0}, WEIGHTS | {"cycle": 1.0}, WEIGHTS | {"recon": -1.0}])
def test_wrong_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="loss_weights"):
        CrossContrastLoss(weights)
