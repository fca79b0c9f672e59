# SPDX-License-Identifier: Apache-2.0
"""The code, the parts and the skips, each against an answer known beforehand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from scripts.diagnosis.latent import effective_rank, latent_evidence
from scripts.diagnosis.measured import best_mapping, measure
from scripts.diagnosis.parts import left_alone, never_stepped
from scripts.diagnosis.skips import activation_share, gradient_share, seen_skips, shuffled, swapped
from scripts.errors import UsageError
from scripts.losses import CrossContrastLoss


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_effective_rank_counts_equal_directions(rank: int) -> None:
    directions = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0))).Q[:rank].double()
    rows = torch.cat([directions, -directions]) * 5
    assert effective_rank(rows) == pytest.approx(rank, rel=1e-3)


def test_effective_rank_does_not_ask_for_scale() -> None:
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double()
    assert effective_rank(rows) == pytest.approx(effective_rank(1000 * rows))


def test_content_is_relative_to_the_spread_of_the_code() -> None:
    z = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    same, off = latent_evidence(z, z), latent_evidence(z, z + 0.5)
    assert same.content == 0
    assert off.content == pytest.approx(0.5 / off.deviation, rel=1e-3)
    assert same.unrelated == pytest.approx(2 / torch.pi**0.5, rel=0.05)  # mean distance of two normal values
    scaled = latent_evidence(100 * z, 100 * (z + 0.5))
    assert scaled.content == pytest.approx(off.content, rel=1e-5)
    assert scaled.deviation == pytest.approx(100 * off.deviation, rel=1e-5)


def test_a_constant_code_does_not_vary() -> None:
    found = latent_evidence(torch.ones(2, 4, 5, 5), torch.ones(2, 4, 5, 5))
    assert (found.variation, found.rank) == (0, 0)


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))


def test_what_an_optimiser_leaves_alone() -> None:
    network = two_layers()
    assert left_alone(network, None) == frozenset()
    assert left_alone(network, torch.optim.SGD(network.parameters(), lr=0.1)) == frozenset()
    assert left_alone(network, torch.optim.SGD(network.parameters(), lr=0.0)) == frozenset(), "a schedule may end at 0"
    assert left_alone(network, torch.optim.SGD(network[0].parameters(), lr=0.1)) == {"1.weight", "1.bias"}
    groups = [{"params": network[0].parameters(), "lr": 0.0}, {"params": network[1].parameters(), "lr": 0.1}]
    assert left_alone(network, torch.optim.SGD(groups)) == {"0.weight", "0.bias"}


def test_what_adam_never_moved() -> None:
    network = two_layers()
    network[0].requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters())
    assert never_stepped(network, optimizer.state_dict()) == frozenset(), "nothing was trained yet"
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert never_stepped(network, optimizer.state_dict()) == {"0.weight", "0.bias"}
    assert never_stepped(nn.Linear(2, 2, bias=False), optimizer.state_dict()) == frozenset(), "another network"


@pytest.mark.parametrize(
    ("strategy", "seen"),
    [("no_skip", ("none", "none")), ("zero_skip", ("real", "zeros")), ("source_skip", ("real", "real"))],
)
def test_skips_that_each_path_sees(world: Any, strategy: str, seen: tuple[str, str]) -> None:
    a, b = torch.rand(2, 2, 1, 16, 16)
    with torch.no_grad():
        assert seen_skips(world.small_network(0, strategy), a, b) == seen


@pytest.mark.parametrize(("muted", "share"), [("skips", 0.0), ("code", 1.0)])
def test_shares_of_a_decoder_that_hears_one_input_only(world: Any, muted: str, share: float) -> None:
    network = world.small_network(0)
    for decoder in (network.decoder_a, network.decoder_b):
        for level in decoder.levels:
            width = level.merge.out_channels
            with torch.no_grad():
                level.merge.weight[:, slice(width, None) if muted == "skips" else slice(None, width)] = 0
    a, b = torch.rand(2, 2, 1, 16, 16)
    with torch.no_grad():
        assert activation_share(network, (a, b)) == pytest.approx(share)
    assert gradient_share(network, a, b, (a, b)) == pytest.approx(share)


def test_swapping_keeps_contrasts_and_shuffling_keeps_values() -> None:
    skip = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 3, 3) + torch.arange(9.0).view(1, 1, 3, 3) / 10
    (other,) = swapped([skip])
    assert other[:, 0, 0, 0].tolist() == [1, 0, 3, 2]
    (mixed,) = shuffled([skip])
    torch.testing.assert_close(mixed.flatten(1).sort(1).values, skip.flatten(1))
    assert not torch.equal(mixed, skip)


def test_no_mapping_of_intensity_does_better_than_the_best() -> None:
    generator = torch.Generator().manual_seed(0)
    source = torch.rand(1, 1, 64, 64, generator=generator) + 0.2
    target = source.sqrt()
    mapped = (best_mapping(source, target) - target).abs().mean()
    assert mapped < 0.05 * (target - target.median()).abs().mean()
    noise = torch.rand(1, 1, 64, 64, generator=generator)
    assert (best_mapping(source, noise) - noise).abs().mean() > 0.9 * (noise - noise.median()).abs().mean()


@pytest.mark.parametrize("sizes", [(2, 2, 1), (1, 1), (5,)], ids=str)
def test_batches_of_any_size_are_measured(world: Any, sizes: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    data = [{key: torch.rand(n, 1, 16, 16, generator=generator) for key in ("image", "label")} for n in sizes]
    found = measure(world.small_network(0), data, CrossContrastLoss(world.WEIGHTS), count=9)
    assert found.slices == sum(sizes)


def test_one_slice_is_refused(world: Any) -> None:
    data = [{"image": torch.rand(1, 1, 16, 16), "label": torch.rand(1, 1, 16, 16)}]
    with pytest.raises(UsageError, match="at least 2"):
        measure(world.small_network(0), data, CrossContrastLoss(world.WEIGHTS))
    with pytest.raises(UsageError, match="encoder"):
        measure(two_layers(), data, CrossContrastLoss(world.WEIGHTS))  # type: ignore[arg-type]
