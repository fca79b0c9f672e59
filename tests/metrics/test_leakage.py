# SPDX-License-Identifier: Apache-2.0
"""Noise that is passed on is found in full, and nothing else is taken for it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scripts.metrics.leakage import noise_in_error, noise_leakage, noise_share

SIGMA = 0.06
SHAPE = (4, 64, 64)


def noise(seed: int, sigma: float = SIGMA) -> Tensor:
    return sigma * torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def clean() -> Tensor:
    place = torch.linspace(0, 9, SHAPE[-1])
    return (0.6 + 0.1 * torch.sin(place)[:, None] * torch.cos(place)).expand(SHAPE).clone()


@pytest.fixture
def tissue() -> Tensor:
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[:, 8:-8, 8:-8] = True
    return mask


@pytest.mark.parametrize("gain", [0.2, 1.0, 1.7])
def test_a_tissue_that_is_scaled_noise_and_all_has_one(clean: Tensor, tissue: Tensor, gain: float) -> None:
    first, second = (gain * (clean + noise(seed)) for seed in (1, 2))
    index = noise_leakage(first, second, clean, gain * clean, SIGMA, tissue)
    assert index == pytest.approx(1, rel=0.03)
    assert noise_leakage(first[None], second[None], clean[None], gain * clean[None], SIGMA, tissue[None]) == index


def test_a_synthesis_that_ignores_the_noise_has_zero_and_half_of_it_half(clean: Tensor, tissue: Tensor) -> None:
    assert noise_leakage(clean, clean, clean, clean, SIGMA, tissue) == 0
    first, second = (clean + 0.5 * noise(seed) for seed in (1, 2))
    assert noise_leakage(first, second, clean, clean, SIGMA, tissue) == pytest.approx(0.5, rel=0.03)


def test_a_linear_filter_leaks_the_root_of_its_squared_weights(clean: Tensor, tissue: Tensor) -> None:
    def blurred(volume: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(volume[:, None], 3, stride=1, padding=1)[:, 0]

    index = noise_leakage(blurred(clean + noise(1)), blurred(clean + noise(2)), clean, clean, SIGMA, tissue)
    assert index == pytest.approx(1 / 3, rel=0.05)


def test_a_shift_of_the_whole_tissue_counts_as_noise(clean: Tensor, tissue: Tensor) -> None:
    index = noise_leakage(clean + math.sqrt(2) * SIGMA, clean, clean, clean, SIGMA, tissue)
    assert index == pytest.approx(1, rel=1e-5)


def test_only_the_tissue_counts_and_a_map_of_noise_is_taken_there(clean: Tensor, tissue: Tensor) -> None:
    first, second = (clean + noise(seed) for seed in (1, 2))
    index = noise_leakage(first, second, clean, clean, SIGMA, tissue)
    wild = torch.where(tissue, first, first + 50)
    assert noise_leakage(wild, second, clean, clean, SIGMA, tissue) == index
    spread = torch.where(tissue, SIGMA, 7.0)
    assert noise_leakage(first, second, clean, clean, spread, tissue) == pytest.approx(index, rel=1e-6)


def test_the_error_of_a_copy_is_the_noise_itself(clean: Tensor, tissue: Tensor) -> None:
    source = clean + noise(1)
    found = noise_in_error(source, clean, source, clean, tissue)
    assert (found.correlation, found.slope) == pytest.approx((1, 1))
    assert found.share == pytest.approx(1, abs=1e-3)


def test_noise_that_came_through_is_told_from_other_errors(clean: Tensor, tissue: Tensor) -> None:
    source = clean + noise(1)
    prediction = clean + 0.3 * noise(1) + noise(7, 0.4 * SIGMA)
    found = noise_in_error(prediction, clean, source, clean, tissue)
    assert found.slope == pytest.approx(0.3, abs=0.02)
    assert found.correlation == pytest.approx(0.6, abs=0.02)
    assert found.share == pytest.approx(0.36, abs=0.03)
    biased = noise_in_error(prediction + 0.5 * SIGMA, clean, source, clean, tissue)
    assert biased.correlation == pytest.approx(found.correlation, abs=1e-6)
    assert biased.share == pytest.approx(0.09 / (0.25 + 0.25), abs=0.03)
    other = noise_in_error(clean + noise(7), clean, source, clean, tissue)
    assert abs(other.correlation) < 0.05 and other.share < 0.003


def test_smeared_noise_escapes_the_correlation_and_not_the_share_of_a_pair(clean: Tensor, tissue: Tensor) -> None:
    sources = [clean + noise(seed) for seed in (1, 2)]
    moved = [torch.roll(source - clean, 1, dims=-1) + clean for source in sources]
    assert noise_in_error(moved[0], clean, sources[0], clean, tissue).share < 0.003
    assert noise_share(moved[0], moved[1], clean, tissue) == pytest.approx(1, abs=0.05)
    biased = [volume + 2 * SIGMA for volume in moved]
    assert noise_share(biased[0], biased[1], clean, tissue) == pytest.approx(0.2, abs=0.02)
    assert noise_share(clean + 1, clean + 1, clean, tissue) == 0


def test_wrong_input_is_refused(clean: Tensor, tissue: Tensor) -> None:
    with pytest.raises(ValueError, match="one shape"):
        noise_leakage(clean[:2], clean, clean, clean, SIGMA, tissue)
    with pytest.raises(ValueError, match=r"\(D, H, W\)"):
        noise_leakage(clean[0], clean, clean, clean, SIGMA, tissue)
    with pytest.raises(ValueError, match="holds 0 voxels"):
        noise_leakage(clean, clean, clean, clean, SIGMA, torch.zeros_like(tissue))
    with pytest.raises(ValueError, match="above 0"):
        noise_leakage(clean, clean, clean, 0 * clean, SIGMA, tissue)
    with pytest.raises(ValueError, match="sigma is 0"):
        noise_leakage(clean, clean, clean, clean, 0, tissue)
    with pytest.raises(ValueError, match="first holds values that are not finite"):
        noise_leakage(clean / 0, clean, clean, clean, SIGMA, tissue)
