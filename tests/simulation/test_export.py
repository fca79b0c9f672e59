# SPDX-License-Identifier: Apache-2.0
"""What is written is what was simulated, where it was simulated."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from scripts.simulation.export import read_drawn, scout_of, volumes_of, write_drawn, write_nifti, write_volume
from scripts.simulation.study import Study, draw_study, simulate_study
from scripts.transforms.nifti import read_nifti

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def study() -> Study:
    return simulate_study(draw_study(4, plane="coronal", shape=(3, 40, 48)), sub_slices=1)


def test_every_volume_keeps_its_voxels_and_its_place(study: Study, tmp_path: Path) -> None:
    files = write_nifti(tmp_path, study)
    expected = volumes_of(study)
    assert [path.name for path in files] == [f"{name}.nii.gz" for name in expected]
    assert {"PD", "PDFS_clean", "labels", "lesion", "proton_density", "t1", "t2", "fat_fraction"} <= set(expected)
    index = np.array([2, 7, 11, 1])  # slice, row, column
    for name, volume in expected.items():
        voxels, affine = read_nifti(tmp_path / f"{name}.nii.gz")
        np.testing.assert_allclose(voxels, volume.permute(2, 1, 0).numpy(), rtol=1e-6)
        where = affine @ index[[2, 1, 0, 3]]
        np.testing.assert_allclose(where, _TO_RAS @ study.affine_lps.numpy() @ index, atol=1e-4)
    image = nibabel.load(tmp_path / "labels.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert image.header.get_xyzt_units()[0] == "mm"


def test_whole_steps_are_kept_to_half_a_step(tmp_path: Path) -> None:
    volume = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0))
    write_volume(tmp_path / "v.nii.gz", volume, torch.eye(4), step=0.001)
    assert nibabel.load(tmp_path / "v.nii.gz").get_data_dtype() == np.int16
    voxels, _ = read_nifti(tmp_path / "v.nii.gz")
    np.testing.assert_allclose(voxels, volume.permute(2, 1, 0).numpy(), atol=0.000501)


def test_the_drawn_values_come_back_from_their_file(study: Study, tmp_path: Path) -> None:
    path = write_drawn(tmp_path, study)
    assert read_drawn(path) == study.parameters
    assert json.loads(path.read_text())["sigma"] == dict(zip(("PD", "PDFS"), study.sigma, strict=True))
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"drawn.json holds no drawn study"):
        read_drawn(path)


def test_the_scout_is_another_plane_of_the_same_knee(study: Study) -> None:
    scout = scout_of(study.parameters)
    assert scout.parameters.stack.plane != study.parameters.stack.plane
    assert scout.parameters.anatomy == study.parameters.anatomy
    assert scout.noisy.shape == (2, 3, 128, 128)
