# SPDX-License-Identifier: Apache-2.0
"""What tests of several rooms share: the real scans where they are at hand, makers of DICOM knee series, and pairs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real scans: KNEE_REAL_DATA, or ``shared/data`` beside the checkout."""
    folder = Path(os.environ.get("KNEE_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the real scans are not here; set KNEE_REAL_DATA to their folder")
    return folder


def _affine(plane: str, tilt: float, spacing: tuple[float, float, float]) -> np.ndarray:
    """LPS affine of (slice, row, column), tilted about two axes so that no direction cosine is trivial."""
    slices, rows, columns = {
        "sagittal": ((-1, 0, 0), (0, 0, -1), (0, 1, 0)),
        "coronal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
        "axial": ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    }[plane]
    c, s = np.cos(tilt), np.sin(tilt)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([slices, rows, columns], dtype=float).T * np.array(spacing)
    affine[:3, 3] = (-31.25, -48.5, 27.75)
    return affine


@pytest.fixture
def knee_series(tmp_path: Path) -> Callable[..., list[Path]]:
    """A function that writes one small DICOM series and gives its files in spatial order.

    Its pixels are random, never square, and have more columns than rows. ``acquired=True`` takes the marks of a
    simulated study off, so that the files pass for a scanner's.
    """

    def make(
        name: str = "study",
        *,
        contrast: str = "PD",
        slices: int = 10,
        shape: tuple[int, int] = (20, 24),
        plane: str = "sagittal",
        tilt: float = 0.2,
        spacing: tuple[float, float, float] = (3.3, 0.5, 0.4),
        number: int = 1,
        acquired: bool = False,
        description: str = "",
        seed: int = 0,
    ) -> list[Path]:
        import pydicom

        from scripts.dicom.study import SimulatedSeries, write_simulated_study

        array = np.random.default_rng(seed).random((slices, *shape), dtype=np.float32)
        series = SimulatedSeries(
            array=array,
            affine_lps=_affine(plane, tilt, spacing),
            contrast=contrast,
            description=description,
            repetition_time=3.0,
            echo_time=0.03,
            echo_train_length=8,
            field_strength=3.0,
            fat_suppressed=contrast == "PDFS",
        )
        files = write_simulated_study(tmp_path / name, [series], number)
        for file in files if acquired else []:
            dataset = pydicom.dcmread(file)
            del dataset.SyntheticData, dataset.ContentQualification, dataset.ImageComments
            dataset.Manufacturer, dataset.ManufacturerModelName = "SCANNERS LTD", "MAGNET 3"
            dataset.PatientID, dataset.PatientName = "12345", "TEST^NOBODY"
            dataset.save_as(file, enforce_file_format=True)
        return files

    return make


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten patients, so that each section gets one, as ``<patient>/{PD,PDFS}.nii.gz`` of a dozen small slices."""
    import nibabel

    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    affine = np.array([[0, 0, 3.3, -18], [-0.5, 0, 0, 8], [0, -0.5, 0, 8], [0, 0, 0, 1]], dtype=float)
    for patient in range(10):
        (folder / f"p{patient}").mkdir()
        for contrast in ("PD", "PDFS"):
            voxels = rng.uniform(0, 900, (32, 32, 12)).astype(np.float32)
            nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / f"p{patient}" / f"{contrast}.nii.gz")
    return folder
