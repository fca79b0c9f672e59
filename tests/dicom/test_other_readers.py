# SPDX-License-Identifier: Apache-2.0
"""dcm2niix and SimpleITK (by GDCM) read what we accept to the same voxels in the same places, if they can read it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scripts.dicom.index import index, index_series
from scripts.dicom.read import Volume, read_stack
from tests.dicom.test_matrix_accepted import COLUMNS, ROWS, ROWS_OF_MATRIX, SLICES

pytestmark = pytest.mark.validators

Series = Callable[..., list[Path]]
Edit = Callable[..., None]

TOLERANCE_MM = 0.02
JPEG_STEP = 16.0
"""What one step of 8 bits is worth in that row: decoders of lossy JPEG may round each in its own way."""

UNALIKE = {
    ("dcm2niix", "no preamble, big endian"): "not read",
    ("SimpleITK", "no preamble, big endian"): "not read",
    ("dcm2niix", "deflated"): "not read",
    ("dcm2niix", "slice jitter 0.005 mm"): "the first two slices alone give the spacing, the last slice is 0.03 mm off",
    ("dcm2niix", "slice jitter 0.02 mm"): "the first two slices alone give the spacing",
    ("dcm2niix", "slice jitter 0.05 mm"): "the first two slices alone give the spacing",
    ("dcm2niix", "cosines rounded to 1e-4 between slices"): "taken for two series",
    ("dcm2niix", "MONOCHROME1"): "left as it is stored, which shows a negative",
}
"""Rows that a reader does not read, or reads to something else, and why that is no reason for doubt."""

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def by_dcm2niix(volume: Volume, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and their affine [LPS mm], as dcm2niix gives them for the files of a volume."""
    alone = folder / "alone"
    alone.mkdir(parents=True)
    for number, file in enumerate(volume.files):
        shutil.copy(file, alone / f"{number}.dcm")
    program = shutil.which("dcm2niix") or shutil.which("dcm2niix", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("dcm2niix is not installed")
    subprocess.run([program, "-b", "n", "-z", "n", "-f", "out", "-o", folder, alone], check=True, capture_output=True)
    (made,) = folder.glob("*.nii")
    image = nibabel.load(made)
    return np.asarray(image.get_fdata()), RAS @ image.affine


def by_simpleitk(volume: Volume, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and their affine [LPS mm], as SimpleITK gives them for the files of a volume."""
    sitk = pytest.importorskip("SimpleITK")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in volume.files])
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(float), affine


READERS = {"dcm2niix": by_dcm2niix, "SimpleITK": by_simpleitk}


def compare(volume: Volume, theirs: np.ndarray, affine: np.ndarray, off_by: float = 0.0) -> None:
    """The same corners within the tolerance, and at each voxel the same value."""
    voxels = np.stack(np.indices(volume.array.shape), -1).reshape(-1, 3)
    places = np.c_[voxels, np.ones(len(voxels))] @ (np.linalg.inv(affine) @ volume.affine_lps).T
    nearest = np.rint(places[:, :3]).astype(int)
    last = np.array(volume.array.shape) - 1
    corners = [at for at, voxel in enumerate(voxels) if all(v in (0, end) for v, end in zip(voxel, last, strict=True))]
    ours = (np.c_[voxels[corners], np.ones(8)] @ volume.affine_lps.T)[:, :3]
    seen = (np.c_[nearest[corners], np.ones(8)] @ affine.T)[:, :3]
    assert np.linalg.norm(ours - seen, axis=1).max() < TOLERANCE_MM
    assert sorted(theirs.shape) == sorted(volume.array.shape)
    assert np.abs(theirs[tuple(nearest.T)] - volume.array.reshape(-1)).max() <= off_by


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("row", "harm"), [row[:2] for row in ROWS_OF_MATRIX], ids=[row[0] for row in ROWS_OF_MATRIX])
def test_accepted_rows(
    knee_series: Series,
    tmp_path: Path,
    edit: Edit,
    request: pytest.FixtureRequest,
    row: str,
    harm: Callable[[list[Path], Edit], None],
    reader: str,
) -> None:
    request.applymarker(pytest.mark.xfail((reader, row) in UNALIKE, reason=UNALIKE.get((reader, row), ""), strict=True))
    harm(knee_series(slices=SLICES, shape=(ROWS, COLUMNS), acquired=True), edit)
    (stack,) = index([tmp_path]).stacks
    volume = read_stack(stack.files)
    compare(volume, *READERS[reader](volume, tmp_path / "theirs"), off_by=JPEG_STEP if row == "JPEG of 8 bits" else 0.0)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_planes(knee_series: Series, tmp_path: Path, plane: str, reader: str) -> None:
    volume = read_stack(knee_series(acquired=True, plane=plane))
    compare(volume, *READERS[reader](volume, tmp_path / "theirs"))


@pytest.mark.real_data
@pytest.mark.parametrize("reader", READERS)
def test_all_echoes_of_the_real_knee(real_data: Path, tmp_path: Path, reader: str) -> None:
    stacks = index_series([real_data / "pymskt"])
    assert len(stacks) == 8
    for number, stack in enumerate(stacks):
        volume = read_stack(stack.files)
        compare(volume, *READERS[reader](volume, tmp_path / str(number)))


def test_a_moved_or_mirrored_volume_is_seen(knee_series: Series, tmp_path: Path) -> None:
    volume = read_stack(knee_series(acquired=True))
    theirs, affine = by_simpleitk(volume, tmp_path)
    moved = affine.copy()
    moved[0, 3] += 0.03
    with pytest.raises(AssertionError):
        compare(volume, theirs, moved)
    with pytest.raises(AssertionError):
        compare(volume, theirs[::-1], affine)
