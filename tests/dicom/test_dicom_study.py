# SPDX-License-Identifier: Apache-2.0
"""A simulated study hangs together, comes out the same every time, and cannot be taken for a person's."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.dicom import identity
from scripts.dicom.index import index_series
from scripts.dicom.read import read_stack
from scripts.dicom.study import SimulatedSeries, write_simulated_study

AFFINE = np.array([[-3.5, 0, 0.1, 35], [0, 0, 0.35, -50], [0, -0.45, 0, 40], [0, 0, 0, 1]], dtype=float)
AFFINE[:3, 2] = (0, 0.4, 0)


def series(contrast: str = "PD", slices: int = 8, localizer: bool = False, seed: int = 0) -> SimulatedSeries:
    return SimulatedSeries(
        array=np.random.default_rng(seed).random((slices, 20, 24), dtype=np.float32),
        affine_lps=AFFINE,
        contrast=contrast,
        description="",
        repetition_time=2.9,
        echo_time=0.0281,
        echo_train_length=7,
        field_strength=1.5,
        fat_suppressed=contrast == "PDFS",
        localizer=localizer,
    )


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    return write_simulated_study(tmp_path, [series(slices=3, localizer=True), series("PD"), series("PDFS")], 42)


def test_the_three_series_of_a_study(study: list[Path], tmp_path: Path) -> None:
    assert len(study) == 19
    stacks = index_series([tmp_path])
    assert [(s.slices, s.localizer, s.usable, s.simulated) for s in stacks] == [
        (3, True, True, True),
        (8, False, True, True),
        (8, False, True, True),
    ]
    assert [s.contrast for s in stacks[1:]] == ["PD", "PDFS"]
    assert len({s.study_instance_uid for s in stacks}) == len({s.frame_of_reference_uid for s in stacks}) == 1
    assert len({s.series_instance_uid for s in stacks}) == 3
    assert (stacks[1].echo_time, stacks[1].repetition_time) == (pytest.approx(0.0281), pytest.approx(2.9))


def test_nothing_in_it_could_be_a_person(study: list[Path]) -> None:
    for file in study:
        dataset = pydicom.dcmread(file)
        assert dataset.PatientID == "SIMULATED-42" and "SIMULATED" in str(dataset.PatientName)
        assert not dataset.PatientBirthDate and not dataset.PatientSex and not dataset.AccessionNumber
        assert dataset.SyntheticData == "YES" and dataset.ImageType[0] == "ORIGINAL"
        assert dataset.Manufacturer == identity.MANUFACTURER
        assert {str(dataset[k].value) for k in ("StudyDate", "SeriesDate", "ContentDate")} == {"19000101"}


def test_same_number_and_content_same_files(study: list[Path], tmp_path: Path) -> None:
    again = write_simulated_study(
        tmp_path / "again", [series(slices=3, localizer=True), series("PD"), series("PDFS")], 42
    )
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in study]


def test_another_number_or_content_gives_other_uids(tmp_path: Path) -> None:
    def uids(name: str, number: int, one: SimulatedSeries) -> set[str]:
        datasets = [pydicom.dcmread(f) for f in write_simulated_study(tmp_path / name, [one], number)]
        keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
        return {str(dataset[k].value) for dataset in datasets for k in keywords}

    first = uids("a", 1, series())
    assert not first & uids("b", 2, series())
    assert not first & uids("c", 1, series(seed=1))


def test_voxels_and_affine_read_back(tmp_path: Path) -> None:
    one = series()
    volume = read_stack(write_simulated_study(tmp_path, [one], 1))
    assert np.corrcoef(volume.array[::-1].ravel(), one.array.ravel())[0, 1] > 0.9999 or (
        np.corrcoef(volume.array.ravel(), one.array.ravel())[0, 1] > 0.9999
    )
    # the same voxel lies at the same place, whichever way the slices are counted
    to_original = np.linalg.inv(AFFINE) @ volume.affine_lps
    scale = volume.array.max() / one.array.max()
    for voxel in ([0, 0, 0], [2, 5, 7], [7, 19, 23]):
        there = to_original @ [*voxel, 1]
        np.testing.assert_allclose(there, np.rint(there), atol=1e-5)
        assert volume.array[tuple(voxel)] == pytest.approx(
            scale * one.array[tuple(np.rint(there[:3]).astype(int))], abs=1
        )


def test_a_black_series_is_written(tmp_path: Path) -> None:
    files = write_simulated_study(tmp_path, [replace(series(), array=np.zeros((6, 8, 9), np.float32))], 1)
    assert read_stack(files).array.max() == 0


def test_decimal_strings_fit(study: list[Path]) -> None:
    from scripts.dicom.copying import text_of

    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        value = text_of(pydicom.dcmread(study[0]), keyword)
        assert value and all(re.fullmatch(rb"[-+0-9.eE]{1,16}", part) for part in value.split(b"\\"))
