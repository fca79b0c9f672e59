# SPDX-License-Identifier: Apache-2.0
"""A few slices read alone are those of the whole volume, as training would see it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.checking.sources import open_source
from scripts.checking.thumbnails import distance_mm, spread
from scripts.errors import KneeSynthError
from scripts.transforms.orientation import DisplayOrientation, display_plane
from scripts.transforms.series import LoadKneeSeries

TURNS = [(order, signs) for order in itertools.permutations(range(3)) for signs in ((1, 1, 1), (-1, 1, -1), (1, -1, 1))]


def displayed(source: object) -> torch.Tensor:
    return DisplayOrientation()(LoadKneeSeries()(source))  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("order", "signs"), TURNS)
def test_nifti_slices_and_grid_are_those_of_training(
    order: tuple[int, ...], signs: tuple[int, ...], suffix: str, tmp_path: Path
) -> None:
    import nibabel

    shape = (9, 14, 17)  # with 3 mm along the first, which are the slices
    voxels = np.random.default_rng(0).integers(1, 900, shape).astype(np.int16)
    axes = np.diag([3.0, 0.5, 0.6])[:, list(order)] * signs
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, (4, -7, 11)
    turn = np.array([[1, 0.05, 0], [-0.05, 1, 0.03], [0, -0.03, 1]])
    affine[:3, :3] = np.linalg.qr(turn)[0] @ affine[:3, :3]
    path = tmp_path / f"one{suffix}"
    image = nibabel.Nifti1Image(voxels.transpose(order), affine)
    image.header.set_slope_inter(0.5, 3)
    nibabel.save(image, path)
    whole, source = displayed(str(path)), open_source(str(path))
    assert source.grid.shape == tuple(whole.shape[1:])
    np.testing.assert_allclose(source.grid.affine, whole.affine.numpy(), atol=1e-5)
    assert source.grid.plane == display_plane(source.grid.affine, 0)
    for places in ([1, 3, 5, 7], [0, 8], [4], [2, 3, 7]):
        assert torch.equal(source.read(places), whole[0, places].as_tensor())


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
@pytest.mark.parametrize("given", ["folder", "files", "backwards", "shuffled"])
def test_dicom_slices_and_grid_are_those_of_training(
    plane: str, given: str, knee_series: Callable[..., list[Path]], tmp_path: Path
) -> None:
    files = knee_series(plane=plane, slices=11)
    orders = {"files": files, "backwards": files[::-1], "shuffled": [*files[3::2], *files[:3], *files[4::2]]}
    entry = str(tmp_path / "study") if given == "folder" else [str(file) for file in orders[given]]
    whole = displayed([str(file) for file in files])
    source = open_source(entry)
    assert source.grid.shape == tuple(whole.shape[1:])
    np.testing.assert_allclose(source.grid.affine, whole.affine.numpy(), atol=1e-4)
    assert torch.equal(source.read([2, 5, 6]), whole[0, [2, 5, 6]].as_tensor())


def test_frames_of_an_enhanced_file(
    knee_series: Callable[..., list[Path]], enhanced: Callable[..., Path], tmp_path: Path
) -> None:
    files = knee_series()
    path = enhanced(tmp_path / "one.dcm", files)
    whole, source = displayed([str(path)]), open_source([str(path)])
    assert torch.equal(source.read([1, 8]), whole[0, [1, 8]].as_tensor())


def test_a_cached_volume_needs_no_image_library(tmp_path: Path) -> None:
    voxels = torch.rand(6, 8, 9)
    affine = torch.diag(torch.tensor([-3.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    torch.save({"voxels": voxels, "affine_ras": affine}, tmp_path / "PD.pt")
    source = open_source(str(tmp_path / "PD.pt"))
    assert torch.equal(source.read([0, 4]), voxels[[0, 4]])
    assert np.array_equal(source.grid.affine, affine.numpy())


@pytest.mark.parametrize("entry", ["gone.nii.gz", [], ["gone.dcm", "gone2.dcm"], "folder"])
def test_what_is_not_there_is_refused(entry: object, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    named = str(tmp_path / entry) if isinstance(entry, str) else [str(tmp_path / str(name)) for name in entry]  # type: ignore[attr-defined]
    with pytest.raises(KneeSynthError):
        open_source(named)


@pytest.mark.parametrize("count", range(1, 60))
def test_chosen_slices_are_the_same_seen_from_the_other_end(count: int) -> None:
    chosen = spread(count)
    assert chosen == sorted(set(chosen)) and 0 <= chosen[0] and chosen[-1] < count
    assert chosen == [count - 1 - place for place in reversed(chosen)]
    assert len(chosen) == (count if count < 8 else 4)


def test_the_distance_of_two_grids(tmp_path: Path) -> None:
    affine = torch.diag(torch.tensor([3.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    moved = affine.clone()
    moved[:3, 3] = torch.tensor([0.0, 3.0, 4.0])
    grids = []
    for name, one in (("a", affine), ("b", moved)):
        torch.save({"voxels": torch.rand(4, 8, 8), "affine_ras": one}, tmp_path / f"{name}.pt")
        grids.append(open_source(str(tmp_path / f"{name}.pt")).grid)
    assert distance_mm(*grids) == pytest.approx(5.0)
