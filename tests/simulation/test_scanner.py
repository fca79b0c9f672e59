# SPDX-License-Identifier: Apache-2.0
"""What k-space, coil and noise do to a signal."""

from __future__ import annotations

import pytest
import torch

from scripts.simulation.old_scanner import draw_coil, sample_k_space, sampled, thermal_noise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_full_k_space_gives_the_signal_back() -> None:
    water, fat = torch.rand(2, 20, 24, generator=generator())
    torch.testing.assert_close(sample_k_space(water, fat, (1, 1)).real, water + fat, atol=1e-5, rtol=0)


def test_a_smaller_k_space_keeps_the_mean_and_loses_detail() -> None:
    water = torch.rand(32, 32, generator=generator())
    image = sample_k_space(water, torch.zeros(32, 32), (0.5, 0.5)).real
    assert float(image.mean()) == pytest.approx(float(water.mean()), rel=1e-5)
    assert float(image.std()) < 0.7 * float(water.std())


@pytest.mark.parametrize("axis", [-1, -2])
def test_fat_moves_along_the_readout_and_water_stays(axis: int) -> None:
    point = torch.zeros(16, 16)
    point[5, 7] = 1
    image = sample_k_space(torch.zeros_like(point), point, (1, 1), fat_shift=3, fat_axis=axis).abs()
    torch.testing.assert_close(image, point.roll(3, dims=axis), atol=1e-5, rtol=0)
    still = sample_k_space(point, torch.zeros_like(point), (1, 1), fat_shift=3, fat_axis=axis).abs()
    torch.testing.assert_close(still, point, atol=1e-5, rtol=0)


@pytest.mark.parametrize("matrix", [(1.0, 1.0), (0.6, 0.8)])
def test_noise_has_the_stated_deviation_in_both_parts(matrix: tuple[float, float]) -> None:
    noise = thermal_noise((200, 64, 64), 0.3, matrix, generator())
    assert float(noise.real.std()) == pytest.approx(0.3, rel=0.02)
    assert float(noise.imag.std()) == pytest.approx(0.3, rel=0.02)
    assert abs(float((noise.real * noise.imag).mean())) < 0.003


def test_zero_filling_correlates_neighbours_and_full_sampling_does_not() -> None:
    def correlation(matrix: tuple[float, float]) -> float:
        real = thermal_noise((100, 64, 64), 1.0, matrix, generator()).real
        return float((real[..., 1:] * real[..., :-1]).mean())

    assert abs(correlation((1, 1))) < 0.01
    assert correlation((1, 0.5)) > 0.4


def test_magnitude_noise_in_air_is_rayleigh() -> None:
    air = thermal_noise((200, 64, 64), 0.5, (1, 1), generator()).abs()
    assert float(air.mean()) == pytest.approx(0.5 * (torch.pi / 2) ** 0.5, rel=0.01)


def test_the_sampled_share_is_the_asked_one() -> None:
    assert float(sampled((100, 100), (0.6, 0.8)).mean()) == pytest.approx(0.48, rel=0.05)


def test_a_coil_is_brightest_at_its_lobes_and_uniform_without_strength() -> None:
    points = torch.zeros(3, 1)
    coil = draw_coil(generator(3))
    assert float(coil(coil.centres[0][:, None])) > float(coil(points))
    assert float(draw_coil(generator(3), steepness=0)(points)) == 1
