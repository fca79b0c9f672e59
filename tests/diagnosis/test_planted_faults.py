# SPDX-License-Identifier: Apache-2.0
"""Each fault, planted in a healthy run of three seeds, is named; the healthy run is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from scripts.diagnosis.evidence import Evidence, Slope, Trend
from scripts.diagnosis.judge import judge
from scripts.diagnosis.verdict import Kind, Verdict

Data = list[dict[str, Tensor]]


def verdict(run: Any, data: Data, epochs: int | None = 10) -> Verdict:
    return judge(run.evidence(data, epochs))


def with_labels(data: Data, change: Any) -> Data:
    return [batch | {"label": change(batch["label"])} for batch in data]


def test_a_healthy_run_is_healthy(healthy: Any, data: Data) -> None:
    found = verdict(healthy, data)
    assert found.kind is Kind.HEALTHY
    assert not found.is_fault


@pytest.mark.slow
def test_a_healthy_run_without_skips_is_healthy(seed: int, data: Data, world: Any) -> None:
    assert verdict(world.train(seed, "no_skip"), data).kind is Kind.HEALTHY


def test_a_run_without_recon_is_not_blamed_for_it(seed: int, data: Data, world: Any) -> None:
    run = world.train(seed, weights=world.WEIGHTS | {"recon": 0.0})
    assert not verdict(run, data).is_fault
    evidence = run.evidence(data)
    bad = replace(evidence.measured.cross, relative=3.0)  # of both paths: the one is to be mended, the other untrained
    flat = Trend(10, {"cross": Slope(first=1.0, last=1.0, drop=0.0, slope=0.0)})
    found = judge(replace(evidence, measured=replace(evidence.measured, cross=bad, recon=bad), trend=flat))
    assert found.kind in (Kind.ENCODER, Kind.CAPACITY)
    assert not any("Recon" in reason for reason in found.reasons)


@pytest.mark.parametrize("strategy", ["source_skip", "no_skip"])
def test_a_run_that_has_not_begun_is_too_young(seed: int, data: Data, world: Any, strategy: str) -> None:
    network = world.small_network(seed, strategy)
    run = world.Trained(network, torch.optim.Adam(network.parameters()), world.WEIGHTS, strategy)
    assert verdict(run, data, epochs=0).kind is Kind.EARLY


def test_a_poor_cross_path_is_too_early_without_curves(seed: int, data: Data, world: Any) -> None:
    network = world.small_network(seed)
    run = world.Trained(network, torch.optim.Adam(network.parameters()), world.WEIGHTS, "source_skip")
    assert verdict(run, data, epochs=5).kind is Kind.EARLY


def test_asymmetric_skips_are_seen_in_the_network_whatever_the_config_says(
    healthy: Any, data: Data, world: Any
) -> None:
    network = world.small_network(0, "zero_skip")
    network.load_state_dict(healthy.network.state_dict())
    run = world.Trained(network, torch.optim.Adam(network.parameters()), world.WEIGHTS, "source_skip")
    measured = run.measured(data)
    assert (measured.same_domain, measured.cross_domain) == ("real", "zeros")
    assert judge(Evidence(measured=measured, epochs=10)).kind is Kind.SKIPS


@pytest.mark.parametrize("shift", [(8, 0), (0, -8), (6, 6)], ids=["down", "left", "both"])
def test_pairs_that_are_shifted(healthy: Any, data: Data, shift: tuple[int, int]) -> None:
    shifted = with_labels(data, lambda label: label.roll(shift, (-2, -1)))
    found = verdict(healthy, shifted)
    assert found.kind is Kind.UNPAIRED
    assert "8 pixels" in found.sentence


def test_two_pixels_of_motion_are_no_fault_of_the_pairs(healthy: Any, data: Data) -> None:
    assert verdict(healthy, with_labels(data, lambda label: label.roll(2, -1))).kind is not Kind.UNPAIRED


def test_pairs_of_different_patients(healthy: Any, data: Data) -> None:
    found = verdict(healthy, with_labels(data, lambda label: label.roll(1, 0)))
    assert found.kind is Kind.UNPAIRED
    assert "strangers" in found.sentence


def test_an_encoder_without_gradients(healthy: Any, data: Data) -> None:
    healthy.network.encoder.requires_grad_(False)
    found = verdict(healthy, data)
    assert found.kind is Kind.ENCODER
    assert "frozen" in found.sentence


def test_an_encoder_that_the_optimiser_does_not_hold(healthy: Any, data: Data) -> None:
    network = healthy.network
    healthy.optimizer = torch.optim.Adam([*network.decoder_a.parameters(), *network.decoder_b.parameters()])
    assert verdict(healthy, data).kind is Kind.ENCODER


def test_an_encoder_cut_off_from_the_losses(healthy: Any, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = healthy.network.encode

    def detached(x: Tensor, source: int) -> tuple[Tensor, list[Tensor]]:
        z, skips = encode(x, source)
        return z.detach(), [skip.detach() for skip in skips]

    monkeypatch.setattr(healthy.network, "encode", detached)
    found = verdict(healthy, data)
    assert found.kind is Kind.ENCODER
    assert "gradient" in found.sentence


@pytest.mark.parametrize("which", [("decoder_a",), ("decoder_b",), ("decoder_a", "decoder_b")], ids="+".join)
@pytest.mark.parametrize("place", ["head", "norm"])
def test_a_decoder_with_zeroed_gain(healthy: Any, data: Data, which: tuple[str, ...], place: str) -> None:
    with torch.no_grad():
        for name in which:
            decoder = getattr(healthy.network, name)
            if place == "head":
                decoder.head[1].weight.zero_()
            else:
                for level in decoder.levels[:-1]:
                    level.refine.norm.weight.zero_()
                    level.refine.norm.bias.zero_()
    assert verdict(healthy, data).kind is Kind.DECODER


def constant(network: Any) -> None:
    network.encoder.bottom[1].weight.zero_()
    network.encoder.bottom[1].bias.fill_(1.0)


def nearly_constant(network: Any) -> None:
    network.encoder.bottom[1].weight.mul_(0.01)
    network.encoder.bottom[1].bias.fill_(1.0)


def tiny(network: Any) -> None:
    network.encoder.bottom[1].weight.fill_(1e-3)
    network.encoder.bottom[1].bias.zero_()


def one_channel(network: Any) -> None:
    network.encoder.bottom[1].weight[1:] = 0.0


@pytest.mark.parametrize("collapse", [constant, nearly_constant, tiny, one_channel])
def test_a_collapsed_latent(healthy: Any, data: Data, collapse: Any) -> None:
    with torch.no_grad():
        collapse(healthy.network)
    assert verdict(healthy, data).kind is Kind.COLLAPSED


def test_a_recon_weight_of_a_hundred(healthy: Any, data: Data) -> None:
    healthy.weights = {"content": 1.0, "recon": 100.0, "cross": 1.0}
    found = verdict(healthy, data)
    assert found.kind is Kind.RECON
    assert len(found.reasons) == 2, "weights and gradient both say so"
    assert found.settings["loss_weights.recon"] < found.settings["loss_weights.cross"]


def test_equal_weights_are_fine(healthy: Any, data: Data) -> None:
    healthy.weights = {"content": 0.002, "recon": 1.0, "cross": 1.0}
    assert verdict(healthy, data).kind is Kind.HEALTHY


def test_weights_that_are_no_numbers(healthy: Any, data: Data) -> None:
    with torch.no_grad():
        healthy.network.decoder_b.head[1].weight[0, 0, 0, 0] = torch.nan
    found = verdict(healthy, data)
    assert found.kind is Kind.DECODER
    assert "no numbers" in found.sentence


def test_measuring_leaves_the_network_as_it_was(healthy: Any, data: Data) -> None:
    network = healthy.network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    marked = next(network.parameters())
    marked.grad = torch.ones_like(marked)
    healthy.measured(data[:2])
    assert network.training
    assert bool((marked.grad == 1).all())
    assert all(parameter.grad is None for parameter in network.parameters() if parameter is not marked)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
