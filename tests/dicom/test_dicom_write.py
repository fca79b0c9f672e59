# SPDX-License-Identifier: Apache-2.0
"""A derived instance lies exactly where its source lies, is marked synthetic, and carries nothing untrue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from scripts.dicom import identity
from scripts.dicom.copying import text_of
from scripts.dicom.index import index_series
from scripts.dicom.read import read_stack
from scripts.dicom.values import quiet
from scripts.dicom.write import OEDEMA_SENTENCE, Provenance, derive_series, save_series
from scripts.errors import DecodeError, GateError, GeometryError, OutputError

Series = Callable[..., list[Path]]
Edit = Callable[..., None]

GEOMETRY = (
    "ImagePositionPatient ImageOrientationPatient PixelSpacing FrameOfReferenceUID SliceThickness SliceLocation".split()
)


def pixels(seed: int = 0, shape: tuple[int, int, int] = (10, 20, 24)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)


def derive(
    files: list[Path], folder: Path, provenance: Provenance, stored: np.ndarray | None = None, contrast: str = "PDFS"
) -> tuple[list[Path], list[Path]]:
    """Give sources in slice order and the derived files."""
    sources = list(read_stack(files).files)
    written = save_series(derive_series(sources, pixels() if stored is None else stored, contrast, provenance), folder)
    return sources, written


@pytest.fixture
def pair(knee_series: Series, tmp_path: Path, provenance: Provenance) -> tuple[list[Path], list[Path]]:
    return derive(knee_series(acquired=True, description="PD sag"), tmp_path / "derived", provenance)


def texts_equal(source: Path, derived: Path, keywords: list[str]) -> list[str]:
    """Name the attributes whose bytes differ; each file is read anew, so that nothing has been re-formatted."""
    one, other = pydicom.dcmread(source), pydicom.dcmread(derived)
    return [keyword for keyword in keywords if text_of(one, keyword) != text_of(other, keyword)]


def test_geometry_strings_are_the_source_s(pair: tuple[list[Path], list[Path]]) -> None:
    sources, derived = pair
    assert len(derived) == len(sources) == 10
    for source, file in zip(sources, derived, strict=True):
        assert texts_equal(source, file, GEOMETRY) == []
        assert text_of(pydicom.dcmread(file), "ImagePositionPatient")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_odd_decimal_strings_come_through_from_any_encoding(
    knee_series: Series, tmp_path: Path, provenance: Provenance, syntax: str
) -> None:
    """Strings that a reader would re-format: signs, exponents, zeros, blanks around the backslash."""
    files = knee_series(acquired=True)
    for file in files:
        dataset = pydicom.dcmread(file)
        for element in dataset:
            _ = element.value
        dataset.file_meta.TransferSyntaxUID = syntax
        implicit, big = syntax == "1.2.840.10008.1.2", syntax == "1.2.840.10008.1.2.2"
        pydicom.dcmwrite(file, dataset, implicit_vr=implicit, little_endian=not big)
        raw = file.read_bytes()
        spacing, thickness = text_of(pydicom.dcmread(file), "PixelSpacing"), b"3.3"
        assert spacing == b"0.5\\0.4"
        file.write_bytes(raw.replace(b"0.5\\0.4 ", b"+.50\\.4 ").replace(thickness + b" ", b"+3.3"))
    sources, derived = derive(files, tmp_path / "derived", provenance)
    for source, file in zip(sources, derived, strict=True):
        assert texts_equal(source, file, GEOMETRY) == []
    assert text_of(pydicom.dcmread(derived[0]), "PixelSpacing") == b"+.50\\.4"
    assert text_of(pydicom.dcmread(derived[0]), "SliceThickness") == b"+3.3"


def test_the_test_of_strings_can_fail(pair: tuple[list[Path], list[Path]], edit: Edit) -> None:
    sources, derived = pair
    edit(derived[0], FrameOfReferenceUID="1.2.3", PixelSpacing=["0.50", "0.40"])
    assert texts_equal(sources[0], derived[0], GEOMETRY) == ["PixelSpacing", "FrameOfReferenceUID"]


def test_the_pixels_and_places_read_back(pair: tuple[list[Path], list[Path]]) -> None:
    sources, derived = pair
    before, after = read_stack(sources), read_stack(derived)
    np.testing.assert_array_equal(after.array, pixels())
    np.testing.assert_array_equal(after.affine_lps, before.affine_lps)
    assert after.files == tuple(derived)
    assert [pydicom.dcmread(file).InstanceNumber for file in derived] == list(range(1, 11))


def test_every_mark_is_set(pair: tuple[list[Path], list[Path]]) -> None:
    sources, derived = pair
    assert [file.name for file in derived] == [f"{n:04d}.dcm" for n in range(1, 11)]
    for source, file in zip(sources, derived, strict=True):
        one, other = pydicom.dcmread(source), pydicom.dcmread(file)
        assert list(other.ImageType) == ["DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"]
        assert (other.SyntheticData, other.ContentQualification) == ("YES", "RESEARCH")
        assert "ScanOptions" in other and not other.ScanOptions
        assert other.SeriesDescription == "SYNTH PDFS (AI) of PD sag"
        assert other.SeriesNumber == 101
        assert OEDEMA_SENTENCE in other.DerivationDescription and OEDEMA_SENTENCE in other.ImageComments
        for words in ("99.5th percentile", "1000", "ab" * 32, "Research use", "not acquired", "test model 1.2.3"):
            assert words in other.DerivationDescription
        assert (other.WindowCenter, other.WindowWidth) == (500, 1000)
        assert (other.BitsAllocated, other.BitsStored, other.HighBit, other.PixelRepresentation) == (16, 12, 11, 0)
        assert "RescaleSlope" not in other and "RescaleIntercept" not in other
        assert (other.SmallestImagePixelValue, other.LargestImagePixelValue) == (
            other.pixel_array.min(),
            other.pixel_array.max(),
        )
        assert other.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
        assert other.SourceImageSequence[0].SpatialLocationsPreserved == "YES"
        assert other.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert other.ReferencedSeriesSequence[0].SeriesInstanceUID == one.SeriesInstanceUID
        assert other.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert other.file_meta.MediaStorageSOPInstanceUID == other.SOPInstanceUID
        assert (other.ContentDate, other.ContentTime) == ("20300102", "030405")


def test_the_scanner_is_a_contributor_and_we_are_the_maker(pair: tuple[list[Path], list[Path]]) -> None:
    dataset = pydicom.dcmread(pair[1][0])
    assert (dataset.Manufacturer, dataset.ManufacturerModelName) == (identity.MANUFACTURER, "test model")
    codes = [item.PurposeOfReferenceCodeSequence[0].CodeValue for item in dataset.ContributingEquipmentSequence]
    assert codes == ["109101", "109100"]
    assert dataset.ContributingEquipmentSequence[0].Manufacturer == "SCANNERS LTD"


def test_earlier_contributors_are_kept_first(
    knee_series: Series, tmp_path: Path, provenance: Provenance, edit: Edit
) -> None:
    files = knee_series(acquired=True)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "109104", "DCM", "De-identifying Equipment"
    item = Dataset()
    item.Manufacturer, item.PurposeOfReferenceCodeSequence = "MASKS LTD", [code]
    for file in files:
        edit(file, ContributingEquipmentSequence=[item])
    _, derived = derive(files, tmp_path / "derived", provenance)
    items = pydicom.dcmread(derived[0]).ContributingEquipmentSequence
    assert [i.PurposeOfReferenceCodeSequence[0].CodeValue for i in items] == ["109104", "109101", "109100"]


def test_what_is_no_longer_true_is_left_out(
    knee_series: Series, tmp_path: Path, provenance: Provenance, edit: Edit
) -> None:
    files = knee_series(contrast="PDFS", acquired=True)
    dropped = {
        "SAR": "1.5",
        "dBdt": "2",
        "SequenceName": "*tse2d1_9",
        "ProtocolName": "pd_tse_fs",
        "EchoNumbers": 1,
        "WindowCenterWidthExplanation": "ALGO1",
        "RescaleSlope": "2",
        "RescaleIntercept": "0",
        "OperatorsName": "Miller^A",
        "InstitutionName": "St Nowhere",
        "PerformedProcedureStepStartDate": "20200101",
    }
    for file in files:
        edit(file, **dropped)
        dataset = pydicom.dcmread(file)
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", b"\0" * 64)
        dataset.add_new("PixelPaddingValue", "US", 0)
        dataset.AnatomicRegionSequence[0].private_block(0x0009, "MAKER", create=True).add_new(1, "LO", "secret")
        dataset.save_as(file, enforce_file_format=True)
    _, derived = derive(files, tmp_path / "derived", provenance, contrast="PD")
    for file in derived:
        dataset = pydicom.dcmread(file)
        assert [keyword for keyword in (*dropped, "PixelPaddingValue") if keyword in dataset] == []
        private = [e.tag for e in dataset.iterall() if e.tag.is_private]
        assert private == []
        assert OEDEMA_SENTENCE not in dataset.DerivationDescription
        assert dataset.SeriesDescription.startswith("SYNTH PD (AI)")


def test_our_own_index_takes_it_for_synthetic_and_not_for_fat_suppressed_by_code(
    pair: tuple[list[Path], list[Path]],
) -> None:
    stack = index_series([pair[1][0].parent])[0]
    assert stack.usable and stack.derived and stack.synthetic and not stack.simulated


def test_a_simulated_source_does_not_make_the_derived_series_simulated(
    knee_series: Series, tmp_path: Path, provenance: Provenance
) -> None:
    _, derived = derive(knee_series(), tmp_path / "derived", provenance)
    stack = index_series([derived[0].parent])[0]
    assert stack.synthetic and stack.derived and not stack.simulated


def uids(files: list[Path]) -> set[str]:
    datasets = [pydicom.dcmread(file) for file in files]
    return {str(d.SOPInstanceUID) for d in datasets} | {str(d.SeriesInstanceUID) for d in datasets}


def test_uids_follow_content(knee_series: Series, tmp_path: Path, provenance: Provenance) -> None:
    files = knee_series(acquired=True)
    sources, first = derive(files, tmp_path / "1", provenance)
    later = replace(provenance, created=datetime(2031, 1, 1))
    _, again = derive(files, tmp_path / "2", later)
    assert uids(first) == uids(again)
    assert len(uids(first)) == 11
    assert not uids(first) & uids(sources)
    assert all(len(uid) <= 64 and pydicom.uid.UID(uid).is_valid for uid in uids(first))
    changed = pixels()
    changed[9, 19, 23] ^= 1
    variants = [
        derive(files, tmp_path / "3", provenance, changed),
        derive(files, tmp_path / "4", replace(provenance, weights_sha256="cd" * 32)),
        derive(files, tmp_path / "5", replace(provenance, options={"to": "PDFS", "ensemble": "4"})),
        derive(files, tmp_path / "6", replace(provenance, model_version="1.2.4")),
    ]
    for _, other in variants:
        assert not uids(first) & uids(other)


def test_names_in_any_character_set_come_through_as_bytes(
    knee_series: Series, tmp_path: Path, provenance: Provenance, edit: Edit
) -> None:
    files = knee_series(acquired=True, description="PD sagittal links Knöchel")
    name = "Müller^Jörg"
    for file in files:
        edit(file, PatientName=name, StudyDescription="Knie ä")
    _, derived = derive(files, tmp_path / "derived", provenance)
    dataset = pydicom.dcmread(derived[0])
    assert dataset.SpecificCharacterSet == "ISO_IR 100"
    assert dataset.PatientName == name and dataset.StudyDescription == "Knie ä"
    assert dataset.SeriesDescription == "SYNTH PDFS (AI) of PD sagittal links Kn?chel"
    for file in files:  # a set that no decoder knows
        file.write_bytes(file.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 999"))
    _, derived = derive(files, tmp_path / "unknown", provenance)
    with quiet():
        dataset = pydicom.dcmread(derived[0])
        assert text_of(dataset, "PatientName") == name.encode("latin-1")
        assert dataset.SpecificCharacterSet == "ISO_IR 999"


def test_a_bare_source_gives_a_complete_instance(
    knee_series: Series, tmp_path: Path, provenance: Provenance, edit: Edit
) -> None:
    """Type 2 attributes that an anonymiser removed are there, empty; Type 1 ones have a value."""
    gone = (
        "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber "
        "ReferringPhysicianName PositionReferenceIndicator MRAcquisitionType EchoTrainLength SliceThickness "
        "ScanningSequence SequenceVariant ScanOptions Manufacturer SeriesDescription SeriesNumber PatientPosition"
    ).split()
    files = knee_series(acquired=True)
    for file in files:
        edit(file, **{keyword: ... for keyword in gone})
    _, derived = derive(files, tmp_path / "derived", provenance)
    dataset = pydicom.dcmread(derived[0])
    assert [keyword for keyword in gone if keyword not in dataset] == []
    assert (dataset.ScanningSequence, dataset.SequenceVariant) == ("RM", "NONE")
    assert dataset.ContributingEquipmentSequence[0].Manufacturer == "UNKNOWN"
    assert dataset.SeriesDescription == "SYNTH PDFS (AI) of series without number"


def test_long_descriptions_keep_the_mark(
    knee_series: Series, tmp_path: Path, provenance: Provenance, edit: Edit
) -> None:
    files = knee_series(acquired=True, description="PD <very> ^long " + "x" * 48)
    _, derived = derive(files, tmp_path / "derived", provenance)
    description = pydicom.dcmread(derived[0]).SeriesDescription
    assert len(description) == 64 and description.startswith("SYNTH PDFS (AI) of PD ?very? ?long")


def test_lossy_history_is_never_lost(knee_series: Series, tmp_path: Path, provenance: Provenance, edit: Edit) -> None:
    files = knee_series(acquired=True)
    for file in files:
        edit(
            file,
            LossyImageCompression="01",
            LossyImageCompressionRatio="8.25",
            LossyImageCompressionMethod="ISO_14495_1",
        )
    _, derived = derive(files, tmp_path / "derived", provenance)
    dataset = pydicom.dcmread(derived[0])
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionRatio) == ("01", 8.25)


def test_times_stand_in_the_zone_that_the_source_names(
    knee_series: Series, tmp_path: Path, provenance: Provenance, edit: Edit
) -> None:
    files = knee_series(acquired=True)
    for file in files:
        edit(file, TimezoneOffsetFromUTC="-0530")
    utc = replace(provenance, created=datetime(2030, 1, 2, 3, 0, 0, tzinfo=timezone(timedelta(0))))
    _, derived = derive(files, tmp_path / "derived", utc)
    dataset = pydicom.dcmread(derived[0])
    assert (dataset.ContentDate, dataset.ContentTime) == ("20300101", "213000")


def test_acquisition_facts_stay(pair: tuple[list[Path], list[Path]]) -> None:
    for source, file in zip(*pair, strict=True):
        kept = (
            "RepetitionTime EchoTime EchoTrainLength MagneticFieldStrength PatientID StudyInstanceUID StudyDate".split()
        )
        assert texts_equal(source, file, kept) == []


def test_wrong_arguments(knee_series: Series, provenance: Provenance, edit: Edit, tmp_path: Path) -> None:
    files = list(read_stack(knee_series(acquired=True)).files)
    with pytest.raises(ValueError, match="contrast"):
        derive_series(files, pixels(), "T2", provenance)
    with pytest.raises(ValueError, match="uint16"):
        derive_series(files, pixels().astype(np.float32), "PDFS", provenance)
    with pytest.raises(ValueError, match="4095"):
        derive_series(files, pixels() + np.uint16(4096), "PDFS", provenance)
    with pytest.raises(GeometryError, match="match"):
        derive_series(files, pixels(shape=(9, 20, 24)), "PDFS", provenance)
    with pytest.raises(GeometryError, match="match"):
        derive_series(files, pixels(shape=(10, 24, 20)), "PDFS", provenance)
    with pytest.raises(GeometryError, match="order"):
        derive_series(files[::-1], pixels(), "PDFS", provenance)
    (tmp_path / "text.dcm").write_text("hello")
    with pytest.raises(DecodeError):
        derive_series([*files[:-1], tmp_path / "text.dcm"], pixels(), "PDFS", provenance)
    edit(files[0], SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    with pytest.raises(GateError):
        derive_series(files, pixels(), "PDFS", provenance)


def test_writing_never_replaces_a_file(knee_series: Series, provenance: Provenance, tmp_path: Path) -> None:
    sources, _ = derive(knee_series(acquired=True), tmp_path / "derived", provenance)
    with pytest.raises(OutputError):
        derive(sources, tmp_path / "derived", provenance)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        derive(sources, tmp_path / "file", provenance)


def test_a_uid_never_becomes_a_path(knee_series: Series, provenance: Provenance, tmp_path: Path) -> None:
    files = knee_series(acquired=True)
    uid = pydicom.dcmread(files[0]).SeriesInstanceUID.encode()
    for file in files:
        file.write_bytes(file.read_bytes().replace(uid, b"../../../../x/y".ljust(len(uid), b"z")))
    before = {path for path in tmp_path.parent.rglob("*") if "derived" not in path.parts}
    _, derived = derive(files, tmp_path / "derived", provenance)
    assert {path for path in tmp_path.parent.rglob("*") if "derived" not in path.parts} == before
    assert all(file.parent == tmp_path / "derived" for file in derived)


def test_modules_are_complete_by_a_newer_standard_than_debian_s(pair: tuple[list[Path], list[Path]]) -> None:
    """highdicom carries the attribute tables of the standard, with Type 1 and 2 of every module."""
    standard = pytest.importorskip("highdicom._standard_utils")
    dataset = pydicom.dcmread(pair[1][0])
    modules = [m["key"] for m in standard.get_iod_module_map()["mr-image"] if m["usage"] == "M"]
    assert "mr-image" in modules and "sop-common" in modules
    for module in modules:
        standard.check_required_attributes(dataset, module)
    del dataset.ScanningSequence
    with pytest.raises(AttributeError):
        standard.check_required_attributes(dataset, "mr-image")


@pytest.mark.real_data
def test_the_real_knee(real_data: Path, tmp_path: Path, provenance: Provenance) -> None:
    stack = next(s for s in index_series([real_data / "pymskt"]) if s.echo_time and abs(s.echo_time - 0.0252) < 1e-4)
    stored = pixels(shape=(24, 256, 256))
    sources, derived = derive(list(stack.files), tmp_path / "derived", provenance, stored)
    assert len(derived) == 24
    for source, file in zip(sources, derived, strict=True):
        assert texts_equal(source, file, GEOMETRY) == []
        assert [e.tag for e in pydicom.dcmread(file).iterall() if e.tag.is_private] == []
    np.testing.assert_array_equal(read_stack(derived).array, stored)
    assert not uids(sources) & uids(derived)
