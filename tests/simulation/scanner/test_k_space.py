# SPDX-License-Identifier: Apache-2.0
"""Sampling, windows and displacements."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.simulation.scanner.k_space import (
    Readout,
    acquired_share,
    displacement,
    ellipse,
    fat_shift,
    lines,
    sampled,
    weights,
)

ODD_AND_EVEN = pytest.mark.parametrize("size", [32, 33])


def image_of(signal: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.fft.ifft(torch.fft.fft(signal.double()) * weight)


@ODD_AND_EVEN
def test_a_full_k_space_without_window_changes_nothing(size: int) -> None:
    torch.testing.assert_close(weights(size, 1.0), torch.ones(size, dtype=torch.float64))


@ODD_AND_EVEN
@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_the_middle_lines_are_acquired(size: int, share: float) -> None:
    inside = sampled(size, share)
    assert bool((inside == (lines(size).abs() <= share * size / 2)).all())
    assert acquired_share(size, share) == pytest.approx(share, abs=1.5 / size)


def test_an_edge_rings_only_with_a_smaller_matrix_and_less_through_a_window() -> None:
    edge = (torch.arange(128) // 32 % 2).double()

    def overshoot(*arguments: float) -> float:
        return float(image_of(edge, weights(128, *arguments)).real.max()) - 1

    assert overshoot(1.0) == pytest.approx(0, abs=1e-12)
    assert overshoot(0.4) == pytest.approx(0.09, abs=0.03)  # Gibbs: 9 % at a lone edge
    assert overshoot(0.4, 1.0, 1.0) < 0.02


def test_the_window_is_hammings() -> None:
    window = torch.fft.fftshift(weights(65, 1.0, 1.0, 1.0))
    assert float(window[32]) == pytest.approx(1)
    assert float(window[0]) == pytest.approx(0.08, abs=0.005)
    mean_is_kept = image_of(torch.ones(65), weights(65, 0.6, 1.0, 1.0)).real
    torch.testing.assert_close(mean_is_kept, torch.ones(65, dtype=torch.float64))


def test_partial_fourier_leaves_one_end_out() -> None:
    inside, step = sampled(200, 1.0, 0.6), lines(200)
    assert float(inside.double().mean()) == pytest.approx(0.6, abs=0.01)
    assert bool(inside[step >= 0].all()) and not bool(inside[step < -20.5].any())


@pytest.mark.parametrize("pixels", [3, -5])
def test_displacement_by_whole_pixels_is_exact(pixels: int) -> None:
    signal = torch.rand(33, generator=torch.Generator().manual_seed(0))
    moved = image_of(signal, displacement(33, pixels))
    torch.testing.assert_close(moved.real, signal.double().roll(pixels))


def test_displacements_add_up() -> None:
    torch.testing.assert_close(displacement(32, 0.3) * displacement(32, 1.2), displacement(32, 1.5))


def test_fat_is_displaced_by_shift_over_bandwidth() -> None:
    assert abs(fat_shift(Readout(-1, 212.0), 3.0, 256)) == pytest.approx(2, rel=0.01)
    assert fat_shift(Readout(-1, 212.0), 1.5, 256) == pytest.approx(fat_shift(Readout(-1, 212.0), 3.0, 256) / 2)
    assert fat_shift(Readout(-1, 212.0, polarity=-1), 3.0, 256) == -fat_shift(Readout(-1, 212.0), 3.0, 256)
    # A pixel that is interpolated to half its size is displaced by twice as many of them.
    ratio = fat_shift(Readout(-1, 212.0, (0.5, 1.0)), 3.0, 256) / fat_shift(Readout(-1, 212.0), 3.0, 256)
    assert ratio == pytest.approx(2, rel=0.01)
    assert fat_shift(Readout(-1, 1e12), 3.0, 256) == pytest.approx(0, abs=1e-6)


def test_the_ellipse_leaves_the_corners_out() -> None:
    mask = torch.fft.fftshift(ellipse(Readout(-1, 200.0, (0.5, 0.8)), (100, 120)))
    assert float(mask.mean()) == pytest.approx(math.pi / 4 * 0.5 * 0.8, abs=0.01)
    assert float(mask[50, 60]) == 1 and float(mask[10 + 2, 30 + 2]) == 0


@pytest.mark.parametrize(
    "wrong", [{"axis": 0}, {"bandwidth": 0.0}, {"matrix": (0.0, 1.0)}, {"partial_fourier": 0.4}, {"window": 2.0}]
)
def test_impossible_readouts_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Need"):
        Readout(**({"axis": -1, "bandwidth": 200.0} | wrong))  # type: ignore[arg-type]
