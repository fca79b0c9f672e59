# SPDX-License-Identifier: Apache-2.0
"""Enhanced in, Enhanced out: one file of the frames that were used, each where its source frame lies."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from scripts.dicom.copying import text_of
from scripts.dicom.files import frame_address, split_address
from scripts.dicom.index import Stack, index_series
from scripts.dicom.read import read_stack
from scripts.dicom.write import OEDEMA_SENTENCE, Provenance, derive_series, save_series
from scripts.errors import GateError, GeometryError

Series = Callable[..., list[Path]]
Enhanced = Callable[..., Path]

SLICES = 6
PLACES = {
    "PlanePositionSequence": ["ImagePositionPatient"],
    "PlaneOrientationSequence": ["ImageOrientationPatient"],
    "PixelMeasuresSequence": ["PixelSpacing", "SliceThickness"],
}


@pytest.fixture
def classic(knee_series: Series) -> list[Path]:
    return knee_series("classic", slices=SLICES, acquired=True, description="PD sag")


def pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4096, (SLICES, 20, 24), dtype=np.uint16)


def derive(stack: Stack, folder: Path, provenance: Provenance, stored: np.ndarray | None = None) -> Path:
    datasets = derive_series(stack.files, pixels() if stored is None else stored, "PDFS", provenance)
    (file,) = save_series(datasets, folder)
    return file


def group(dataset: Dataset, frame: int, name: str) -> Dataset:
    """A functional group of a frame, counted from 0; of its own or shared."""
    own, shared = dataset.PerFrameFunctionalGroupsSequence[frame], dataset.SharedFunctionalGroupsSequence[0]
    assert (name in own) + (name in shared) == 1
    return (own if name in own else shared)[name][0]


def test_it_reads_back_where_the_source_lies(
    classic: list[Path], enhanced: Enhanced, tmp_path: Path, provenance: Provenance
) -> None:
    (stack,) = index_series([enhanced(tmp_path / "e.dcm", classic[::-1])])  # frames against the order of place
    file = derive(stack, tmp_path / "derived", provenance)
    before, after = read_stack(stack.files), read_stack([file])
    np.testing.assert_array_equal(after.array, pixels())
    np.testing.assert_array_equal(after.affine_lps, before.affine_lps)
    highdicom = pytest.importorskip("highdicom")  # an independent reader
    volume = highdicom.imread(file).get_volume()  # which counts slices against the normal
    for index in (0, SLICES - 1):
        corner = volume.affine @ (SLICES - 1 - index, 19, 23, 1)
        np.testing.assert_allclose(corner, before.affine_lps @ (index, 19, 23, 1), atol=1e-6)
    np.testing.assert_array_equal(volume.array, pixels()[::-1])


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
def test_places_are_the_source_s_to_the_byte(
    classic: list[Path], enhanced: Enhanced, tmp_path: Path, provenance: Provenance, syntax: str
) -> None:
    path = enhanced(tmp_path / "e.dcm", classic[::-1])
    dataset = pydicom.dcmread(path)
    for element in dataset.iterall():
        _ = element.value
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, dataset, implicit_vr=syntax.endswith("1.2"), little_endian=True)
    path.write_bytes(path.read_bytes().replace(b"0.5\\0.4 ", b"+.5 \\ .4").replace(b"3.3 ", b"+3.3"))
    (stack,) = index_series([path])
    file = derive(stack, tmp_path / "derived", provenance)
    source, derived = pydicom.dcmread(path), pydicom.dcmread(file)
    seen = []
    for index, address in enumerate(stack.files):
        number = split_address(address)[1]
        for name, keywords in PLACES.items():
            one, other = group(source, number - 1, name), group(derived, index, name)
            for keyword in keywords:
                assert text_of(one, keyword) == text_of(other, keyword) != b""
                seen.append(text_of(other, keyword))
    assert {b"+.5 \\ .4", b"+3.3"} < set(seen)


def test_only_the_frames_of_the_chosen_echo_are_in_it(
    classic: list[Path], enhanced: Enhanced, tmp_path: Path, provenance: Provenance
) -> None:
    both = [file for file in classic for _ in range(2)]
    path = enhanced(tmp_path / "e.dcm", both, echo_times=[30.0, 85.0] * SLICES)
    first, second = sorted(index_series([path]), key=lambda stack: stack.echo_time or 0)
    derived = pydicom.dcmread(derive(second, tmp_path / "derived", provenance))
    assert derived.NumberOfFrames == len(derived.PerFrameFunctionalGroupsSequence) == SLICES
    named = [
        group(derived, index, "DerivationImageSequence").SourceImageSequence[0].ReferencedFrameNumber
        for index in range(SLICES)
    ]
    assert sorted(named) == [2, 4, 6, 8, 10, 12]
    assert named == [split_address(address)[1] for address in second.files]
    assert group(derived, 0, "MREchoSequence").EffectiveEchoTime == 85.0
    # The same pixels made of the other echo are another object.
    other = pydicom.dcmread(derive(first, tmp_path / "other", provenance))
    assert other.SOPInstanceUID != derived.SOPInstanceUID and other.SeriesInstanceUID != derived.SeriesInstanceUID


def test_every_mark_is_set(classic: list[Path], enhanced: Enhanced, tmp_path: Path, provenance: Provenance) -> None:
    path = enhanced(tmp_path / "e.dcm", classic)
    (stack,) = index_series([path])
    file = derive(stack, tmp_path / "derived", replace(provenance, mark="top left corner"))
    source, derived = pydicom.dcmread(path), pydicom.dcmread(file)
    assert file.name == "0001.dcm"
    assert derived.SOPClassUID == derived.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.4.1"
    assert list(derived.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    assert (derived.SyntheticData, derived.ContentQualification) == ("YES", "RESEARCH")
    assert derived.SeriesDescription == "SYNTH PDFS (AI) of PD sag"
    assert (derived.BurnedInAnnotation, derived.LossyImageCompression) == ("NO", "00")
    assert derived.PatientName == source.PatientName and derived.StudyInstanceUID == source.StudyInstanceUID
    assert [e.PurposeOfReferenceCodeSequence[0].CodeValue for e in derived.ContributingEquipmentSequence] == [
        "109101",
        "109100",
    ]
    (evidence,) = derived.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert evidence.ReferencedSOPInstanceUID == source.SOPInstanceUID
    for index in range(SLICES):
        derivation, kind = (
            group(derived, index, "DerivationImageSequence"),
            group(derived, index, "MRImageFrameTypeSequence"),
        )
        assert OEDEMA_SENTENCE in derivation.DerivationDescription
        assert "burned into the top left corner" in derivation.DerivationDescription
        assert derivation.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert list(kind.FrameType) == list(derived.ImageType) and kind.ComplexImageComponent == "MAGNITUDE"
        window, values = (
            group(derived, index, "FrameVOILUTSequence"),
            group(derived, index, "PixelValueTransformationSequence"),
        )
        assert (window.WindowCenter, window.WindowWidth) == (500, 1000)
        assert (values.RescaleSlope, values.RescaleIntercept) == (1, 0)
        assert list(group(derived, index, "FrameContentSequence").DimensionIndexValues) == [1, index + 1]
    (again,) = index_series([file])
    assert again.usable and again.derived and again.synthetic and not again.simulated


def test_what_is_no_longer_true_is_left_out(
    classic: list[Path], enhanced: Enhanced, tmp_path: Path, provenance: Provenance
) -> None:
    path = enhanced(tmp_path / "e.dcm", classic)
    dataset = pydicom.dcmread(path)
    dataset.private_block(0x0029, "MAKER", create=True).add_new(0x10, "OB", b"\0" * 64)
    dataset.ProtocolName, dataset.PulseSequenceName, dataset.ScanOptions = "pd_tse", "*tse", "FS"
    shared = dataset.SharedFunctionalGroupsSequence[0]
    sar, anatomy, region, modifier = Dataset(), Dataset(), Dataset(), Dataset()
    sar.SpecificAbsorptionRateValue = 1.5
    shared.MRTimingAndRelatedParametersSequence[0].SpecificAbsorptionRateSequence = [sar]
    modifier.SpectrallySelectedExcitation = "NONE"
    shared.MRModifierSequence = [modifier]
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "72696002", "SCT", "Knee"
    region.private_block(0x0009, "MAKER", create=True).add_new(1, "LO", "secret")
    anatomy.FrameLaterality, anatomy.AnatomicRegionSequence = "L", [region]
    shared.FrameAnatomySequence = [anatomy]
    dataset.save_as(path)
    (stack,) = index_series([path])
    derived = pydicom.dcmread(derive(stack, tmp_path / "derived", provenance))
    keywords = {element.keyword for element in derived.iterall()}
    assert not keywords & {
        "SpecificAbsorptionRateValue", "ProtocolName", "PulseSequenceName", "ScanOptions", "MRModifierSequence",
    }  # fmt: skip
    assert [element.tag for element in derived.iterall() if element.tag.is_private] == []
    assert group(derived, 0, "FrameAnatomySequence").AnatomicRegionSequence[0].CodeValue == "72696002"
    assert "Laterality" not in derived


def test_uids_follow_content(classic: list[Path], enhanced: Enhanced, tmp_path: Path, provenance: Provenance) -> None:
    (stack,) = index_series([enhanced(tmp_path / "e.dcm", classic)])

    def uid(name: str, provenance: Provenance, stored: np.ndarray | None = None) -> str:
        return str(pydicom.dcmread(derive(stack, tmp_path / name, provenance, stored)).SOPInstanceUID)

    changed = pixels()
    changed[5, 19, 23] ^= 1
    first = uid("1", provenance)
    assert uid("2", provenance) == first
    others = [
        uid("3", provenance, changed),
        uid("4", replace(provenance, mark="top left corner")),
        uid("5", replace(provenance, weights_sha256="cd" * 32)),
    ]
    assert len({first, *others}) == 4


def test_a_stack_over_several_files(
    classic: list[Path], enhanced: Enhanced, tmp_path: Path, provenance: Provenance
) -> None:
    (tmp_path / "e").mkdir()
    parts = [
        enhanced(tmp_path / "e" / f"{number}.dcm", part, ConcatenationUID="1.2.3.4")
        for number, part in enumerate((classic[:4], classic[4:]))
    ]
    (stack,) = index_series([tmp_path / "e"])
    file = derive(stack, tmp_path / "derived", provenance)
    np.testing.assert_array_equal(read_stack([file]).affine_lps, read_stack(stack.files).affine_lps)
    series = pydicom.dcmread(file).SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0]
    named = {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence}
    assert named == {pydicom.dcmread(part).SOPInstanceUID for part in parts}


def test_of_a_converted_classic_series(classic: list[Path], tmp_path: Path, provenance: Provenance) -> None:
    legacy = pytest.importorskip("highdicom.legacy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources = [pydicom.dcmread(file) for file in classic]
        legacy.LegacyConvertedEnhancedMRImage(
            sources, pydicom.uid.generate_uid(), 7, pydicom.uid.generate_uid(), 1
        ).save_as(tmp_path / "legacy.dcm")
    (stack,) = index_series([tmp_path / "legacy.dcm"])
    file = derive(stack, tmp_path / "derived", provenance)
    derived = pydicom.dcmread(file)
    assert derived.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4.1"
    np.testing.assert_array_equal(read_stack([file]).array, pixels())
    np.testing.assert_array_equal(read_stack([file]).affine_lps, read_stack(stack.files).affine_lps)


def test_lossy_history_is_never_lost(
    classic: list[Path], enhanced: Enhanced, tmp_path: Path, provenance: Provenance
) -> None:
    path = enhanced(tmp_path / "e.dcm", classic, LossyImageCompression="01", LossyImageCompressionRatio="8.25")
    (stack,) = index_series([path])
    derived = pydicom.dcmread(derive(stack, tmp_path / "derived", provenance))
    assert (derived.LossyImageCompression, derived.LossyImageCompressionRatio) == ("01", 8.25)


def test_one_frame_is_described_by_its_own_content(
    classic: list[Path], enhanced: Enhanced, tmp_path: Path, provenance: Provenance
) -> None:
    file = enhanced(tmp_path / "e.dcm", classic)
    (dataset,) = derive_series([frame_address(file, 3)], pixels()[:1], "PDFS", provenance)
    assert dataset.NumberOfFrames == 1
    assert "FrameContentSequence" in dataset.PerFrameFunctionalGroupsSequence[0]  # it may not be shared


def test_wrong_frames(classic: list[Path], enhanced: Enhanced, tmp_path: Path, provenance: Provenance) -> None:
    (stack,) = index_series([enhanced(tmp_path / "e.dcm", classic)])
    with pytest.raises(GeometryError, match="match"):
        derive_series(stack.files[1:], pixels(), "PDFS", provenance)
    with pytest.raises(GeometryError, match="order"):
        derive_series(stack.files[::-1], pixels(), "PDFS", provenance)
    with pytest.raises(GateError, match="--format nifti"):  # one kind or the other
        derive_series([*stack.files[:-1], classic[-1]], pixels(), "PDFS", provenance)
