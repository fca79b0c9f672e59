# SPDX-License-Identifier: Apache-2.0
"""Ghosts, motion, metal, processing and interpolation, each alone and switched off."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.simulation.scanner.ghosts import Ghosts, phase_errors, pulsation
from scripts.simulation.scanner.metal import displace, excited
from scripts.simulation.scanner.motion import Motion, rotate
from scripts.simulation.scanner.smooth import interpolation, node_places, positions, spread
from scripts.simulation.scanner.vendor import Vendor, fading, prescan, sharpen, to_counts


def bell(centre: tuple[float, float], size: int = 64) -> torch.Tensor:
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.exp(-((row - centre[0]) ** 2 + (column - centre[1]) ** 2) / 18)


# -- ghosts ------------------------------------------------------------------------------------------------------------


def test_no_error_makes_no_ghost() -> None:
    shot = torch.arange(64) % 8
    torch.testing.assert_close(phase_errors(Ghosts(), shot), torch.ones(64, dtype=torch.complex128))
    assert float(pulsation(Ghosts(), shot, 3.0).abs().max()) == 0


def test_phase_errors_have_their_spread_and_are_one_per_excitation() -> None:
    shot = torch.arange(6000) % 3000
    factor = phase_errors(Ghosts(phase_error=0.1, seed=4), shot)
    assert float(factor.angle().std()) == pytest.approx(0.1, rel=0.05)
    torch.testing.assert_close(factor.abs(), torch.ones(6000, dtype=torch.float64))
    assert bool((factor[:3000] == factor[3000:]).all())


def test_alternating_pulsation_makes_one_ghost_half_a_field_of_view_away() -> None:
    ghosts = Ghosts(pulsation=0.5, heart_rate=0.5)  # half a beat per repetition of 1 s
    line = torch.zeros(64, dtype=torch.float64)
    line[10] = 1
    ghost = torch.fft.ifft(torch.fft.fft(line) * pulsation(ghosts, torch.arange(64), 1.0)).abs()
    assert float(ghost[42]) == pytest.approx(0.5)
    assert float(ghost.sum()) == pytest.approx(0.5)


# -- motion ------------------------------------------------------------------------------------------------------------


def test_a_turn_moves_a_point_where_geometry_says() -> None:
    angle, middle = 0.2, 31.5
    row, column = 15.0, 4.0  # from the middle
    turned = (
        middle + row * math.cos(angle) - column * math.sin(angle),
        middle + row * math.sin(angle) + column * math.cos(angle),
    )
    image = bell((middle + row, middle + column)).to(torch.complex64)[None]
    torch.testing.assert_close(rotate(image, torch.tensor([angle]))[0].real, bell(turned), atol=2e-3, rtol=0)


def test_no_turn_changes_nothing_and_turning_back_restores() -> None:
    image = torch.stack((bell((20, 30)), bell((40, 25)))).to(torch.complex64)
    torch.testing.assert_close(rotate(image, torch.zeros(2)), image, atol=1e-5, rtol=0)
    angle = torch.tensor([0.1, -0.3])
    torch.testing.assert_close(rotate(rotate(image, angle), -angle), image, atol=1e-4, rtol=0)


def test_a_somersault_is_refused() -> None:
    with pytest.raises(ValueError, match="turn"):
        Motion(angle=2.0)


# -- metal -------------------------------------------------------------------------------------------------------------


def test_without_metal_all_is_excited_and_nothing_moves() -> None:
    image = torch.rand(2, 8, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(excited(torch.zeros(8, 16)), torch.ones(8, 16))
    moved = displace(torch.nn.functional.pad(image, (2, 2)), torch.zeros(8, 20))
    assert float((moved.sum(-1) - image.sum(-1)).abs().max()) < 1e-5
    torch.testing.assert_close(moved, torch.nn.functional.pad(image, (2, 2)), atol=0.5, rtol=0)


def test_signal_far_off_resonance_is_not_excited() -> None:
    assert float(excited(torch.tensor([[4000.0]]))) < 1e-4


def test_displaced_signal_keeps_its_sum_and_piles_up_where_the_shift_contracts() -> None:
    image = torch.zeros(1, 4, 80)
    image[..., 20:60] = 1
    squeeze = (40 - torch.arange(80.0)) * 0.5
    moved = displace(image, squeeze.expand(4, 80))
    assert float(moved.sum()) == pytest.approx(160, rel=1e-5)
    assert float(moved[0, 0, 35:45].mean()) == pytest.approx(2, rel=0.02)
    whole = displace(image, torch.full((4, 80), 3.0))
    assert float(whole[0, 0].dot(torch.arange(80.0)) / 40) == pytest.approx(39.5 + 3, abs=1e-3)


# -- processing --------------------------------------------------------------------------------------------------------


def test_processing_is_neutral_by_default() -> None:
    seen = torch.rand(6, 6) + 0.5
    torch.testing.assert_close(prescan(Vendor(), seen), torch.ones(6, 6))
    torch.testing.assert_close(sharpen(Vendor(), (8, 9), (1.0, 1.0)), torch.ones(8, 9))
    torch.testing.assert_close(fading(Vendor(), 16), torch.ones(16, dtype=torch.float64))
    torch.testing.assert_close(to_counts(seen, torch.zeros(())), seen)


def test_a_full_correction_takes_all_shading_and_half_of_it_its_root() -> None:
    seen = torch.tensor([0.25, 1.0, 4.0])
    torch.testing.assert_close(prescan(Vendor(normalisation=1.0), seen) * seen, torch.ones(3))
    torch.testing.assert_close(prescan(Vendor(normalisation=0.5), seen), torch.tensor([2.0, 1.0, 0.5]))


def test_sharpening_keeps_the_mean_and_lifts_the_highest_frequency() -> None:
    factor = sharpen(Vendor(sharpening=0.6), (64, 64), (0.5, 0.5))
    assert float(factor[0, 0]) == 1
    assert float(factor[16, 16]) == pytest.approx(1.6)


def test_edges_fade_to_nothing_within_the_stated_width() -> None:
    factor = fading(Vendor(fade=0.1), 200)
    assert float(factor[0]) < 0.01 and float(factor[199]) < 0.01
    torch.testing.assert_close(factor[20:180], torch.ones(160, dtype=torch.float64))


def test_counts_are_whole() -> None:
    values = torch.rand(100, generator=torch.Generator().manual_seed(0))
    stored = to_counts(values, torch.tensor(50.0))
    torch.testing.assert_close(stored * 50, (stored * 50).round(), atol=1e-4, rtol=0)
    assert float((stored - values).abs().max()) <= 0.0101


# -- interpolation of smooth maps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [40, 256, 321])
def test_quadratics_come_out_exactly(size: int) -> None:
    place = node_places(size)
    pixel = torch.arange(size, dtype=torch.float64) / size
    for power in (0, 1, 2):
        torch.testing.assert_close(
            interpolation(size) @ (place / size).float() ** power, pixel.float() ** power, atol=2e-6, rtol=0
        )


def test_a_bump_of_a_centimetre_comes_out_to_a_hundredth() -> None:
    affine = torch.diag(torch.tensor([3.0, 0.5, 0.5, 1.0], dtype=torch.float64))

    def bump(points: torch.Tensor) -> torch.Tensor:
        return torch.exp(-((points[1] - 80) ** 2 + (points[2] - 70) ** 2) / (2 * 10.0**2))

    nodes = positions(affine, 2, node_places(320), node_places(320))
    pixels = positions(affine, 2, torch.arange(320.0).double(), torch.arange(320.0).double())
    assert float(pixels[0].min()) == float(pixels[0].max()) == 6.0
    assert float((spread(bump(nodes), (320, 320)) - bump(pixels)).abs().max()) < 0.01
