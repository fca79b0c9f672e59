# SPDX-License-Identifier: Apache-2.0
"""The summary page is a series of its own in the study of its source, and never a source itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from scripts.dicom.copying import text_of
from scripts.dicom.index import index_series
from scripts.dicom.inherited import read_source
from scripts.dicom.instance import save_instance
from scripts.dicom.patient import identifiers_of
from scripts.dicom.read import read_stack
from scripts.dicom.summary import derive_summary
from scripts.dicom.write import Provenance, derive_series
from scripts.errors import GateError
from scripts.synthesis.selection import choose

Series = Callable[..., list[Path]]
Edit = Callable[..., None]

PICTURE = np.random.default_rng(0).integers(0, 256, (31, 33), dtype=np.uint8)  # an odd number of bytes


@pytest.fixture
def source(knee_series: Series) -> list[Path]:
    return list(read_stack(knee_series(acquired=True, description="PD sag")).files)


@pytest.fixture
def summarise(source: list[Path], tmp_path: Path, provenance: Provenance) -> Callable[..., Path]:
    def make(
        name: str = "s.dcm",
        picture: np.ndarray = PICTURE,
        identified: bool = False,
        made: Provenance = provenance,
    ) -> Path:
        derived = derive_series(source, np.zeros((10, 20, 24), np.uint16), "PDFS", made)
        dataset = derive_summary(read_source(source[0]), derived, picture, "PDFS", made, identified=identified)
        save_instance(dataset, tmp_path / name)
        return tmp_path / name

    return make


def read(file: Path) -> Dataset:
    return pydicom.dcmread(file)


def test_it_is_a_secondary_capture_of_the_same_study(summarise: Callable[..., Path], source: list[Path]) -> None:
    file = summarise()
    dataset, original = read(file), read(source[0])
    assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert (dataset.Modality, dataset.ConversionType) == ("OT", "WSD")
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
        assert text_of(read(file), keyword) == text_of(read(source[0]), keyword)
    assert dataset.SeriesInstanceUID != original.SeriesInstanceUID
    assert (dataset.SeriesNumber, dataset.SeriesDescription) == (102, "SYNTH PDFS (AI) summary page")
    np.testing.assert_array_equal(dataset.pixel_array, PICTURE)
    assert (dataset.WindowCenter, dataset.WindowWidth) == (128, 256)


def test_every_mark_is_set(summarise: Callable[..., Path], source: list[Path]) -> None:
    dataset = read(summarise())
    assert list(dataset.ImageType) == ["DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"]
    assert (dataset.SyntheticData, dataset.ContentQualification) == ("YES", "RESEARCH")
    assert "Marrow oedema" in dataset.ImageComments
    assert len(dataset.SourceImageSequence) == 10
    codes = [item.PurposeOfReferenceCodeSequence[0].CodeValue for item in dataset.ContributingEquipmentSequence]
    assert codes == ["109101", "109100"]


def test_burned_in_annotation_says_whether_the_picture_names_somebody(summarise: Callable[..., Path]) -> None:
    assert read(summarise()).BurnedInAnnotation == "NO"
    assert read(summarise("named.dcm", identified=True)).BurnedInAnnotation == "YES"


def test_no_run_takes_it_for_a_source(summarise: Callable[..., Path]) -> None:
    (stack,) = index_series([summarise()])
    assert not stack.usable and stack.synthetic and stack.derived
    with pytest.raises(GateError):
        choose([stack], "PDFS")


def test_uids_follow_the_picture_and_the_series_stays(summarise: Callable[..., Path], provenance: Provenance) -> None:
    first, again = read(summarise()), read(summarise("2.dcm", made=replace(provenance, created=datetime(2031, 1, 1))))
    other = read(summarise("3.dcm", picture=PICTURE ^ 1))
    assert first.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID == again.SeriesInstanceUID == other.SeriesInstanceUID


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("Müller^Jörg^Karl", "Müller, Jörg Karl"),
        ("NOBODY", "NOBODY"),
        ("^Given", ", Given"),
        ("Yamada^Tarou==", "Yamada, Tarou"),
        ("", "not in the source"),
    ],
)
def test_a_name_as_it_is_read(source: list[Path], edit: Edit, name: str, readable: str) -> None:
    edit(source[0], PatientName=name, PatientID="4711", AccessionNumber=...)
    assert identifiers_of(source[0]) == {
        "Name": readable,
        "Patient ID": "4711",
        "Accession number": "not in the source",
    }
