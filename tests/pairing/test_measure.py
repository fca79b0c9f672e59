# SPDX-License-Identifier: Apache-2.0
"""The same knee is found wherever its headers put it; another knee, or another contrast, is not taken."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.pairing.candidates import Candidate, Exam
from scripts.pairing.copies import FITTED, Features, across, correlate, match, summit
from scripts.pairing.exam import pair_exam
from scripts.pairing.measure import measure_scans
from scripts.pairing.settings import Settings
from scripts.pairing.volume import Working, slice_partners
from scripts.simulation.study import Study
from tests.pairing.conftest import displaced, scan_of


def places_of(slices: tuple[tuple[int, int, float, float, float], ...]) -> np.ndarray:
    return np.array([row[2:] for row in slices])


@pytest.mark.parametrize(
    ("right", "down", "slices", "angle"),
    [(0, 0, 0, 0), (5.0, -3.5, 2, 0), (-2.5, 4.0, -1, math.radians(2))],
    ids=["in place", "moved by two slices", "moved and turned"],
)
def test_a_planted_displacement_is_recovered(
    knees: tuple[Study, Study], right: float, down: float, slices: int, angle: float
) -> None:
    knee, _ = knees
    between = knee.parameters.stack.spacing[0]
    image = scan_of(knee.noisy[0], knee.affine_lps.numpy())
    label = scan_of(knee.noisy[1], displaced(knee, right, down, slices * between, angle))
    found = measure_scans(image, label, Settings(), one_frame=True)
    assert found.reason == "", found.words
    # The headers lie, the voxels are of the same slices.
    assert [row[:2] for row in found.slices] == [(k, k) for k in range(12)]
    pixel = image.grid.pixel_mm[0]
    moved = places_of(found.slices)
    assert np.hypot(moved[:, 0] - right, moved[:, 1] - down).max() < 0.6 * pixel
    assert abs(moved[:, 2] - angle).max() < math.radians(0.6)
    assert found.residual_px["median"] < 0.8


def test_another_knee_is_told_by_its_anatomy(knees: tuple[Study, Study]) -> None:
    one, other = knees
    image = scan_of(one.noisy[0], one.affine_lps.numpy())
    for one_frame in (True, None):
        found = measure_scans(image, scan_of(other.noisy[1], one.affine_lps.numpy()), Settings(), one_frame)
        assert found.reason == "other_patient" and not found.slices


def test_frames_that_have_nothing_in_common_are_searched(knees: tuple[Study, Study]) -> None:
    knee, _ = knees
    image = scan_of(knee.noisy[0], knee.affine_lps.numpy())
    elsewhere = displaced(knee)
    elsewhere[:3, 3] += (80.0, -55.0, 210.0)
    label = scan_of(knee.noisy[1], elsewhere)
    assert measure_scans(image, label, Settings(), one_frame=True).reason in ("other_patient", "too_few_slices")
    found = measure_scans(image, label, Settings(), one_frame=False)
    assert found.reason == "" and found.evidence["places"] == "offset search"
    assert [row[:2] for row in found.slices] == [(k, k) for k in range(12)]
    away = np.array([80.0, -55.0, 210.0]) * (-1, -1, 1)
    wanted = (away @ image.grid.right, away @ image.grid.down)
    moved = places_of(found.slices)
    assert np.hypot(moved[:, 0] - wanted[0], moved[:, 1] - wanted[1]).max() < 0.8 * image.grid.pixel_mm[0]


def test_a_second_scan_without_suppression_is_no_pdfs(knees: tuple[Study, Study]) -> None:
    knee, _ = knees
    image = scan_of(knee.noisy[0], knee.affine_lps.numpy())
    second = knee.noisy[0] + 0.02 * torch.rand(knee.noisy[0].shape, generator=torch.Generator().manual_seed(1))
    found = measure_scans(image, scan_of(second, knee.affine_lps.numpy()), Settings(), one_frame=True)
    assert found.reason == "wrong_contrast"


def test_poor_suppression_is_no_second_pd(knees: tuple[Study, Study]) -> None:
    knee, _ = knees
    image = scan_of(knee.noisy[0], knee.affine_lps.numpy())
    pd, pdfs = (one / one.max() for one in knee.noisy)
    poor = scan_of(pdfs + 0.5 * pd, knee.affine_lps.numpy())
    found = measure_scans(image, poor, Settings(), one_frame=True)
    assert found.reason != "wrong_contrast" and found.scores["same_edges"] < 0.8
    second = measure_scans(image, scan_of(knee.noisy[0], knee.affine_lps.numpy()), Settings(), one_frame=True)
    assert second.reason == "wrong_contrast" and second.scores["same_edges"] > 0.95


@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_series_that_nothing_names_the_one_with_dark_fat_is_pdfs(
    knees: tuple[Study, Study], write_study: Callable[..., Path], tmp_path: Path, swapped: bool
) -> None:
    knee, _ = knees
    affine = knee.affine_lps.numpy()
    folder = write_study(tmp_path / "study", 1, (knee.noisy[0], affine, "PD"), (knee.noisy[1], affine, "PDFS"))
    files = [tuple(map(str, sorted((folder / series).iterdir()))) for series in ("01", "02")]
    pd, pdfs = (Candidate(one, "PD", "s", "p", "f", "sagittal", fat_open=True) for one in files)
    order = (pdfs, pd) if swapped else (pd, pdfs)
    outcome = pair_exam(Exam("e", "p", order), Settings())
    assert [(one["image"], one["label"]) for one in outcome["pairs"]] == [(pd.source, pdfs.source)]
    assert not outcome["refused"]


def test_slices_of_another_distance_and_order_find_their_nearest(knees: tuple[Study, Study]) -> None:
    knee, _ = knees
    image = scan_of(knee.noisy[0], knee.affine_lps.numpy())
    reverse = knee.affine_lps.numpy().copy()
    reverse[:3, 3] += 11 * reverse[:3, 0]
    reverse[:3, 0] *= -1
    label = scan_of(knee.noisy[1].flip(0), reverse)
    assert slice_partners(image, label, 0.0, 0.55) == {k: 11 - k for k in range(12)}
    wider = knee.affine_lps.numpy().copy()
    wider[:3, 0] *= 2
    assert slice_partners(image, scan_of(knee.noisy[1][::2], wider), 0.0, 0.3) == {2 * m: m for m in range(6)}


@pytest.mark.parametrize("left", [0.0, 0.45], ids=["suppressed", "partly suppressed"])
def test_displaced_fat_does_not_draw_the_place_along(left: float) -> None:
    """Water at its place, fat beside it by three pixels on PD and by two to the other side on PDFS: water decides."""
    generator = torch.Generator().manual_seed(3)

    def smooth(count: int) -> torch.Tensor:
        coarse = torch.rand(6, 1, count, count, generator=generator)
        return torch.nn.functional.interpolate(coarse, size=(96, 96), mode="bicubic")[:, 0]

    place = smooth(12) > 0.5
    trabeculae = torch.rand(6, 1, 48, 48, generator=generator)
    fat = ~place * (0.2 + 0.8 * torch.nn.functional.interpolate(trabeculae, scale_factor=2)[:, 0])
    water = place * (0.25 + 0.75 * (smooth(16) > 0.75))  # muscle, and fluid
    image = water + torch.roll(fat, 3, dims=2)
    suppressed = water + left * torch.roll(fat, -2, dims=2)
    label = torch.roll(suppressed, (2, -1), dims=(1, 2))  # the anatomy is found 2 lower and 1 to the left
    inside = torch.ones_like(image, dtype=torch.bool)
    noise = 0.02 * torch.rand(image.shape, generator=generator)
    both = Working(image + noise, label + noise.flip(0), inside, inside, 1.0)
    partners = {k: k for k in range(6)}
    found = [match(correlate(both, partners, 16, features), (0.0, 0.0), 6.0) for features in FITTED]
    right, down = np.median([each.shift for each in found], axis=0)
    assert abs(right + 1) < 0.6 and abs(down - 2) < 0.3
    (_, below), _ = summit(across(both, partners, 16, axis=0), 16, (0.0, 0.0), 6.0)
    assert abs(below - 2) < 0.3  # what lies along the readout knows of no displacement
    if left:  # all edges of PDFS together go with the fat
        whole = match(correlate(both, partners, 16, Features(0.5, 0.0)), (0.0, 0.0), 6.0)
        assert whole.shift[0] < -4
