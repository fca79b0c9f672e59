# SPDX-License-Identifier: Apache-2.0
"""What noise adds to a magnitude is found in air and taken off, also where tissue is dark."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.quality.noise import noise_floor, without_floor


def magnitude(quiet: torch.Tensor, sigma: float, receivers: int = 1) -> torch.Tensor:
    """Root sum of squares over receivers that see the same signal, each with a share of its power."""
    generator = torch.Generator().manual_seed(receivers)
    parts = torch.randn(2, receivers, *quiet.shape, generator=generator) * sigma
    parts[0] += quiet / math.sqrt(receivers)
    return parts.square().sum((0, 1)).sqrt()


def knee(dark: float = 0.0) -> torch.Tensor:
    """Slices ``(6, 128, 128)``: a bright disc with a dark one in it, in air."""
    row, column = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    far = ((row - 64).square() + (column - 64).square()).sqrt()
    return torch.where(far < 18, torch.full_like(far, dark), (far < 44).float()).expand(6, -1, -1)


@pytest.mark.parametrize("receivers", [1, 8])
def test_the_floor_is_that_of_the_signal_behind_noise(receivers: int) -> None:
    noisy = magnitude(knee(), 0.05, receivers)
    assert noise_floor(noisy, 1.0) == pytest.approx((2 * receivers - 1) * 0.05**2, rel=0.15)


@pytest.mark.parametrize(("snr", "left"), [(0.0, 0.4), (1.0, 0.25), (2.0, 0.25), (5.0, 0.1)])
def test_dark_tissue_is_dark_again_on_average(snr: float, left: float) -> None:
    sigma = 0.05
    noisy = magnitude(knee(snr * sigma), sigma)
    inside = (knee(-1.0) < 0)[:, 50:78, 50:78]
    before, after = (
        float(image[:, 50:78, 50:78][inside].mean()) / sigma - snr
        for image in (noisy, without_floor(noisy, noise_floor(noisy, 1.0)))
    )
    assert abs(after) < left and (abs(after) < abs(before) or snr >= 5)


def test_air_that_a_scanner_blanked_says_nothing() -> None:
    noisy = magnitude(knee(), 0.05) * (knee(1.0) > 0)
    assert noise_floor(noisy, 1.0) == 0
    assert torch.equal(without_floor(noisy, 0.0), noisy)


def test_a_floor_of_each_contrast_is_its_own() -> None:
    pair = torch.full((2, 4, 4), 0.5)
    rest = without_floor(pair, torch.tensor([0.09, 0.5])[:, None, None])
    assert float(rest[0, 0, 0]) == pytest.approx(0.4) and float(rest[1, 0, 0]) == pytest.approx(-0.75)
