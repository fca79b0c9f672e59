# SPDX-License-Identifier: Apache-2.0
"""Tissues of a cached patient, and slices left out of a stack."""

from __future__ import annotations

from pathlib import Path

import torch

from scripts.intervals.scale_network import TISSUES as SEEN
from scripts.simulation.cohort import simulated_cohort
from scripts.simulation.study import draw_study
from scripts.uncertainty.tissues import TISSUES, thinned, tissue_masks, tissue_numbers, tissues_of_predictions


def test_the_slices_that_stay_lie_where_they_lay() -> None:
    stack = draw_study(5, "clinical", shape=(11, 32, 40)).stack
    few = thinned(stack, 4)
    assert few.shape == (3, 32, 40) and few.thickness == stack.thickness
    for index in range(3):
        place = torch.tensor([4.0 * index, 3, 7, 1], dtype=torch.float64)
        same = torch.tensor([float(index), 3, 7, 1], dtype=torch.float64)
        torch.testing.assert_close(few.affine_lps @ same, stack.affine_lps @ place)
    assert thinned(stack, 1) == stack


def test_masks_are_those_of_the_simulator_and_kept(tmp_path: Path) -> None:
    (patient,) = simulated_cohort(tmp_path, "test", 1, shape=(4, 48, 48))
    labels = torch.load(patient.folder / "labels.pt", weights_only=True)["voxels"]
    whole, few = tissue_masks(patient, tmp_path), tissue_masks(patient, tmp_path, 2)
    assert set(whole) == set(TISSUES)
    assert torch.stack(list(whole.values())).sum(0).max() == 1  # a voxel is of one tissue
    assert ((labels == 0) & torch.stack(list(whole.values())).any(0)).sum() == 0
    for name, mask in few.items():
        torch.testing.assert_close(mask, whole[name][::2])
    kept = sorted((tmp_path / "tissues").rglob("*.pt"))
    again = tissue_masks(patient, tmp_path)
    assert sorted((tmp_path / "tissues").rglob("*.pt")) == kept and len(kept) == 2
    assert all(torch.equal(again[name], whole[name]) for name in TISSUES)


def test_the_head_knows_the_tissues_that_are_measured_and_one_for_the_rest(tmp_path: Path) -> None:
    assert SEEN == (*TISSUES, "other")
    (patient,) = simulated_cohort(tmp_path, "test", 1, shape=(4, 48, 48))
    numbers, masks = tissue_numbers(patient, tmp_path, 2), tissue_masks(patient, tmp_path, 2)
    for name, mask in masks.items():
        assert torch.equal(numbers == SEEN.index(name), mask)
    items = [{"image": str(patient.folder / "PD.pt")}, {"image": str(tmp_path / "own.nii.gz")}, {"image": ["a", "b"]}]
    found = tissues_of_predictions(items, str(tmp_path), 2)
    assert found[0] is not None and torch.equal(found[0], numbers)
    assert found[1] is found[0] and found[2:] == [None] * 4
