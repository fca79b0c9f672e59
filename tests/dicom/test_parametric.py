# SPDX-License-Identifier: Apache-2.0
"""The Parametric Map lies where its source lies, holds the numbers it was given, and says what it is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from scripts.dicom.index import index_series
from scripts.dicom.instance import save_instance
from scripts.dicom.parametric import Quantity, derive_map
from scripts.dicom.read import read_stack
from scripts.dicom.write import Provenance
from scripts.errors import GeometryError

Series = Callable[..., list[Path]]
SHAPE = (10, 20, 24)
QUANTITY = Quantity("UNCERTAINTY", "Half width of the 90% interval.", ("%", "percent"), (0.0, 100.0))
# Newer than Debian's dciodvfy, or a warning of its own that names no error of the file.
TOO_NEW = "(0x0008,0x001c)"


def values(seed: int = 0) -> np.ndarray:
    return (150 * np.random.default_rng(seed).random(SHAPE)).astype(np.float32)


@pytest.fixture
def source(knee_series: Series) -> list[Path]:
    return knee_series(acquired=True, description="PD sag")


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_it_lies_on_the_voxels_of_its_source(
    knee_series: Series, provenance: Provenance, tmp_path: Path, plane: str
) -> None:
    stack = read_stack(knee_series(plane=plane, acquired=True))
    save_instance(derive_map(stack.files, values(), "PDFS", QUANTITY, provenance), tmp_path / "map.dcm")
    volume = highdicom.imread(tmp_path / "map.dcm").get_volume()  # an independent reader, in its own order of slices
    assert volume.array.shape == SHAPE
    for slice_, row, column in ((0, 0, 0), (9, 19, 23), (4, 3, 20)):
        place = stack.affine_lps @ (slice_, row, column, 1)
        index = np.linalg.solve(volume.affine, place)[:3]
        np.testing.assert_allclose(index, np.rint(index), atol=1e-4)
        assert volume.array[tuple(np.rint(index).astype(int))] == values()[slice_, row, column]


def test_an_enhanced_source_gives_the_same_map(
    source: list[Path], enhanced: Callable[..., Path], provenance: Provenance, tmp_path: Path
) -> None:
    (stack,) = index_series([enhanced(tmp_path / "e.dcm", source[::-1])])
    of_frames = derive_map(stack.files, values(), "PDFS", QUANTITY, provenance)
    of_images = derive_map(source, values(), "PDFS", QUANTITY, provenance)
    for one, other in zip(
        of_frames.PerFrameFunctionalGroupsSequence, of_images.PerFrameFunctionalGroupsSequence, strict=True
    ):
        assert one.PlanePositionSequence[0].ImagePositionPatient == other.PlanePositionSequence[0].ImagePositionPatient
    assert of_frames.FloatPixelData == of_images.FloatPixelData


def test_it_belongs_to_the_patient_and_the_study_and_says_what_it_is(
    source: list[Path], provenance: Provenance
) -> None:
    first = pydicom.dcmread(source[0])
    made = derive_map(source, values(), "PDFS", QUANTITY, provenance)
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "StudyDate"):
        assert made[keyword].value == first[keyword].value, keyword
    assert made.SeriesInstanceUID != first.SeriesInstanceUID
    assert made.SyntheticData == "YES"
    assert made.ContentQualification == "RESEARCH"
    assert made.ImageType[0] == "DERIVED"
    assert "ab" * 32 in made.DerivationDescription
    assert "oedema" in made.ImageComments
    mapping = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "%"
    referenced = {
        item.ReferencedSOPInstanceUID
        for frame in made.PerFrameFunctionalGroupsSequence
        for item in frame.DerivationImageSequence[0].SourceImageSequence
    }
    assert referenced == {pydicom.dcmread(file).SOPInstanceUID for file in source}


def test_the_same_uid_means_the_same_values(source: list[Path], provenance: Provenance) -> None:
    def uid(numbers: np.ndarray, by: Provenance = provenance) -> str:
        return str(derive_map(source, numbers, "PDFS", QUANTITY, by).SOPInstanceUID)

    assert uid(values()) == uid(values())
    others = {uid(values(1)), uid(values(), replace(provenance, options={"calibration_sha256": "cd"}))}
    assert len(others - {uid(values())}) == 2


def test_a_stack_of_another_size_is_refused(source: list[Path], provenance: Provenance) -> None:
    with pytest.raises(GeometryError, match="10 source slices"):
        derive_map(source, values()[:, :, 1:], "PDFS", QUANTITY, provenance)


def test_it_is_no_source_for_another_synthesis(source: list[Path], provenance: Provenance, tmp_path: Path) -> None:
    save_instance(derive_map(source, values(), "PDFS", QUANTITY, provenance), tmp_path / "alone" / "map.dcm")
    assert [stack for stack in index_series([tmp_path / "alone"]) if stack.usable] == []


@pytest.mark.validators
def test_dciodvfy_finds_no_error(source: list[Path], provenance: Provenance, tmp_path: Path) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    save_instance(derive_map(source, values(), "PDFS", QUANTITY, provenance), tmp_path / "map.dcm")
    said = subprocess.run([program, str(tmp_path / "map.dcm")], capture_output=True, text=True, check=False).stderr
    assert [line for line in said.splitlines() if line.startswith("Error") and TOO_NEW not in line] == []
    assert "ParametricMap" in said
