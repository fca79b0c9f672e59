# SPDX-License-Identifier: Apache-2.0
"""Each measure against a truth that was put in."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.quality.fat import polarity
from scripts.quality.measure import Measures, measure
from scripts.quality.metal import void
from scripts.quality.motion import ghosts, jumps
from scripts.quality.noise import blocks_of, noise_in_air, noise_in_body
from scripts.quality.regions import Regions, find_regions, grow

Draw = Callable[..., Tensor]
PIXEL_MM = 0.8
SPACING = (3.5, PIXEL_MM, PIXEL_MM)


def regions_of(volume: Tensor, plane: str = "axial") -> Regions:
    return find_regions(volume, PIXEL_MM, plane, blocks_of(volume).air_ends)


def measured(volume: Tensor, plane: str = "axial") -> Measures:
    found = measure(volume, SPACING, plane)
    assert found is not None
    return found


@pytest.mark.parametrize(("sigma", "receivers"), [(0.005, 1), (0.005, 8), (0.03, 1), (0.03, 8), (0.08, 1), (0.05, 4)])
def test_noise_in_air_is_what_was_added(limb: Draw, noisy: Draw, sigma: float, receivers: int) -> None:
    volume = noisy(limb(), sigma, receivers)
    assert noise_in_air(blocks_of(volume), regions_of(volume)) == pytest.approx(sigma, rel=0.08)


def test_interpolated_noise_is_measured_in_air(limb: Draw) -> None:
    """Half of k-space, as a scanner fills it with zeros; the finest detail of the body sees too little of it."""
    sigma, quiet = 0.04, limb(lines=0.79)
    spectrum = torch.randn((*quiet.shape, 2), generator=torch.Generator().manual_seed(1))
    kept = (torch.fft.fftfreq(160).abs() < 1 / 4).float()
    white = torch.fft.ifft2(torch.view_as_complex(spectrum) * kept[:, None] * kept)
    volume = (quiet + sigma * white / white.real.std()).abs()
    assert noise_in_air(blocks_of(volume), regions_of(volume)) == pytest.approx(sigma, rel=0.12)
    assert noise_in_body(volume, regions_of(volume).body) < 0.6 * sigma


def test_blanked_air_says_nothing_and_the_body_does(limb: Draw, noisy: Draw) -> None:
    quiet = limb(lines=0.79)
    volume = noisy(quiet, 0.05) * (quiet > 0.05)
    assert noise_in_air(blocks_of(volume), regions_of(volume)) is None
    assert noise_in_body(volume, regions_of(volume).body) == pytest.approx(0.05, rel=0.1)
    found = measured(volume)
    assert found.snr is None and found.ghosts is None and found.snr_in_body == pytest.approx(16, rel=0.15)


def test_the_body_is_found_in_strong_noise_and_holds_what_is_dark_within(limb: Draw, noisy: Draw) -> None:
    quiet = limb()
    truth = np.pi * (0.36 * 160 * PIXEL_MM) ** 2
    quiet[:, 70:90, 70:90] = 0
    for sigma in (0.002, 0.1):
        found = measured(noisy(quiet, sigma))
        assert found.body_mm2 == pytest.approx(truth, rel=0.1)


def test_air_is_what_is_connected_to_the_sides() -> None:
    """Against an independent labelling of random patterns."""
    from scipy import ndimage

    dark = torch.rand(3, 60, 70, generator=torch.Generator().manual_seed(0)) < 0.58
    volume = torch.where(dark, 0.0, 1.0).repeat_interleave(3, 1).repeat_interleave(3, 2)
    found = find_regions(volume, 0.5, "sagittal", 0.0)
    seen = F.avg_pool2d(volume[:, None], 3)[:, 0]
    near = F.avg_pool2d(seen[:, None], 3, 1, 1, count_include_pad=False)[:, 0] <= 0.1
    for body, dark_of in zip(found.body, near, strict=True):
        labels, _ = ndimage.label(dark_of.numpy())
        sides = set(labels[:, 0]) | set(labels[:, -1])
        assert ((~body).numpy() == np.isin(labels, sorted(sides - {0}))).all()


def test_a_leg_that_leaves_the_image_is_closed_at_its_ends_in_sagittal_slices_only() -> None:
    """Dark muscle that reaches the upper edge is body there, and would be air in an axial slice."""
    volume = torch.zeros(2, 120, 120)
    volume[:, :, 30:90] = 0.8
    volume[:, :60, 50:70] = 0.02
    assert bool(regions_of(volume, "sagittal").body[:, 2, 29:31].all())
    assert not bool(regions_of(volume, "axial").body[:, 2, 29:31].any())


def test_growing_reaches_as_far_as_it_says() -> None:
    mask = torch.zeros(1, 11, 11, dtype=torch.bool)
    mask[0, 5, 5] = True
    assert int(grow(mask, 3).sum()) == 49


@pytest.mark.parametrize("amplitude", [0.04, 0.08])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_ghost_is_found_along_either_axis_and_noise_is_none(
    limb: Draw, noisy: Draw, amplitude: float, axis: int
) -> None:
    quiet = limb(radius=0.2)
    ghost = amplitude * torch.roll(quiet, 80, axis)
    clean, moved = measured(noisy(quiet, 0.01)), measured(noisy(quiet + ghost, 0.01))
    assert clean.ghosts is not None and moved.ghosts is not None
    # Of a ghost that is even inside, only the edge is structure.
    assert 3 * clean.ghosts < moved.ghosts and 0.03 * amplitude < moved.ghosts < amplitude


def test_ghosts_grow_with_their_amplitude(limb: Draw, noisy: Draw) -> None:
    quiet = limb(radius=0.2)
    found = [measured(noisy(quiet + a * torch.roll(quiet, 80, 1), 0.01)).ghosts for a in (0.02, 0.04, 0.08)]
    assert found[0] < found[1] < found[2]  # type: ignore[operator]


def test_without_air_there_are_no_ghosts_to_see(limb: Draw) -> None:
    assert ghosts(regions_of(limb(radius=0.9)), 0.8) is None


def _slid(volume: Tensor, millimetres: list[float]) -> Tensor:
    """Slices moved along their columns."""
    phase = torch.tensor(millimetres)[:, None] / PIXEL_MM * torch.fft.fftfreq(volume.shape[2])
    turn = torch.polar(torch.ones_like(phase), -2 * torch.pi * phase)
    return torch.fft.ifft(torch.fft.fft(volume, dim=2) * turn[:, None], dim=2).abs()


@pytest.mark.parametrize("distance", [1.5, 3.0, 6.0])
def test_slices_that_lie_beside_their_neighbours_are_measured(limb: Draw, noisy: Draw, distance: float) -> None:
    volume = noisy(_slid(limb(), [distance * (k % 2) for k in range(12)]), 0.01)
    assert jumps(regions_of(volume)) == pytest.approx(distance, abs=0.4)


def test_anatomy_that_moves_on_steadily_is_no_jump(limb: Draw, noisy: Draw) -> None:
    volume = noisy(_slid(limb(), [1.5 * k for k in range(12)]), 0.01)
    found = jumps(regions_of(volume))
    assert found is not None and found < 0.1


def test_three_slices_are_too_few_to_see_jumps(limb: Draw) -> None:
    assert jumps(regions_of(limb(slices=3))) is None


@pytest.mark.parametrize("sigma", [0.002, 0.04])
def test_a_hole_of_metal_is_measured_and_a_tendon_is_none(limb: Draw, noisy: Draw, sigma: float) -> None:
    quiet = limb(lines=0.6)
    with_tendon = quiet.clone()
    with_tendon[:, 40:120, 78:83] = 0  # 4 mm
    with_metal = quiet.clone()
    with_metal[3:7, 66:94, 66:94] = 0  # 22 mm in four slices
    empty, thin, wide = (void(regions_of(noisy(v, sigma)), sigma) for v in (quiet, with_tendon, with_metal))
    assert empty == thin == 0
    # Squares of 7 mm fit into one of 22 mm with their centres on some 15 mm.
    assert wide == pytest.approx(4 * 15**2, rel=0.35)


def test_what_the_coil_does_not_see_is_no_metal(limb: Draw) -> None:
    shaded = limb() * torch.linspace(1.2, 0.0, 160).clamp_min(0)[:, None]
    assert void(regions_of(shaded, "sagittal"), 0.0) == 0


def test_polarity_tells_dark_lines_on_bright_ground_from_bright_ones_on_dark(limb: Draw, noisy: Draw) -> None:
    like_pd, like_pdfs = limb(lines=0.3), limb(lines=0.3)
    inside = like_pdfs > 0.05
    like_pdfs[inside] = 1.05 - like_pdfs[inside]
    dark, bright = (polarity(noisy(v, 0.005), PIXEL_MM, "axial") for v in (like_pd, like_pdfs))
    assert dark is not None and bright is not None
    assert dark < -0.2 and bright > 0.2


def test_polarity_does_not_see_how_bright_the_coil_shows_a_place(limb: Draw) -> None:
    shading = torch.linspace(0.4, 1.2, 160)[:, None] * torch.linspace(1.1, 0.6, 160)
    plain, shaded = (polarity(v, PIXEL_MM, "axial") for v in (limb(), limb() * shading))
    assert shaded == pytest.approx(plain, abs=0.05)


def test_saturation_and_empty_slices_are_counted(limb: Draw, noisy: Draw) -> None:
    volume = noisy(limb(), 0.02)
    assert measured(volume).saturated < 1e-4 and measured(volume).empty_slices == 0
    cut = volume.clamp_max(float(volume[volume > 0.4].quantile(0.9)))
    cut[[0, 5]] = 0
    assert measured(cut).saturated == pytest.approx(0.09, abs=0.02)
    assert measured(cut).empty_slices == 2


@pytest.mark.parametrize(
    "volume",
    [torch.zeros(3, 80, 80), torch.ones(3, 80, 80), torch.rand(1, 64, 200), torch.eye(64).expand(6, 64, 64)],
    ids=["nothing", "all alike", "one slice", "a line"],
)
def test_odd_volumes_are_measured_without_a_stumble(volume: Tensor) -> None:
    for plane in ("sagittal", "axial"):
        assert measured(volume.clone(), plane).body_mm2 >= 0


def test_small_slices_are_not_measured() -> None:
    assert measure(torch.rand(12, 63, 200), SPACING, "axial") is None


def test_a_measurement_takes_half_a_second(limb: Draw, noisy: Draw) -> None:
    volume = noisy(limb(slices=36, side=320), 0.02)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = []
        for _ in range(3):
            started = time.process_time()
            measured(volume)
            seconds.append(time.process_time() - started)
    finally:
        torch.set_num_threads(threads)
    assert min(seconds) < 1.0  # .3 on the machine it was written on; others are slower
