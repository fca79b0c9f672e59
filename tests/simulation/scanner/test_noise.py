# SPDX-License-Identifier: Apache-2.0
"""Thermal noise: level, whiteness, correlation."""

from __future__ import annotations

import pytest
import torch

from scripts.simulation.scanner.noise import Noise, amplification, slice_seed, thermal_noise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("matrix", [(1.0, 1.0), (0.5, 0.7), (1.0, 0.4)])
def test_noise_has_its_standard_deviation_whatever_the_matrix(matrix: tuple[float, float]) -> None:
    noise = thermal_noise((4, 127, 128), 0.3, matrix, generator())
    for part in (noise.real, noise.imag):
        assert float(part.std()) == pytest.approx(0.3, rel=0.02)
        assert float(part.mean()) == pytest.approx(0, abs=0.01)
    assert float((noise.real * noise.imag).mean()) == pytest.approx(0, abs=0.002)


def test_noise_is_white_on_a_full_matrix_and_correlated_between_interpolated_pixels() -> None:
    def correlation(matrix: tuple[float, float]) -> tuple[float, float]:
        real = thermal_noise((8, 128, 128), 1.0, matrix, generator()).real
        return float((real * real.roll(1, -2)).mean()), float((real * real.roll(1, -1)).mean())

    assert correlation((1.0, 1.0)) == pytest.approx((0, 0), abs=0.02)
    rows, columns = correlation((0.5, 1.0))
    assert rows == pytest.approx(2 / torch.pi, abs=0.04)  # sin(pi / 2) / (pi / 2), of a box half as wide
    assert columns == pytest.approx(0, abs=0.02)


def test_a_seed_means_one_noise() -> None:
    first, again, other = (thermal_noise((32, 32), 1.0, (0.6, 0.9), generator(seed)) for seed in (1, 1, 2))
    assert bool((first == again).all()) and not bool((first == other).any())


def test_slices_and_studies_have_seeds_of_their_own() -> None:
    seeds = {slice_seed(seed, index) for seed in range(200) for index in range(60)}
    assert len(seeds) == 200 * 60
    assert 0 <= slice_seed((1 << 62) + 5, 3) < 1 << 63


def test_parallel_imaging_amplifies_in_the_middle() -> None:
    place = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(amplification(Noise(20.0), place, place), torch.ones(2))
    middle, corner = amplification(Noise(20.0, 2.0), place, place).tolist()
    assert middle == pytest.approx(1) and corner == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("wrong", [(0.0, 1.0), (20.0, 0.5)])
def test_impossible_noise_is_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="SNR"):
        Noise(*wrong)
