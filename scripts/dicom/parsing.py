# SPDX-License-Identifier: Apache-2.0
"""From files to headers, many at a time: no pixel is read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from scripts.dicom import identity
from scripts.dicom.anatomy import AnatomyFacts
from scripts.dicom.contrast import SequenceFacts
from scripts.dicom.frames import (
    Frame,
    count_problem,
    frame_count,
    laterality_of,
    part_of,
    region_of,
    siemens_options,
)
from scripts.dicom.headers import Header
from scripts.dicom.pixels import inflated_problem, lossy_compression, pixel_problem, size_problem
from scripts.dicom.pydicom_versions import assume_syntax, know_synthetic_data
from scripts.dicom.synthetic import synthetic_sign
from scripts.dicom.values import integer, numbers, quiet, seconds, text, texts, unknown_charset

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

# Threads do not speed up Python, but a folder on a network answers many questions at a time.
_READERS = 8

# These are quoted; what is longer than any text that DICOM has for them has swallowed its neighbours, names among them.
_LONGEST_CODE = 64

_DICOMDIR = "1.2.840.10008.1.3.10"
_DICOM_SUFFIXES = frozenset({".dcm", ".ima", ".dicom"})
_KEYWORDS = (
    "SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID SyntheticData Modality Manufacturer "
    "StudyDescription SeriesDescription PatientID BodyPartExamined AnatomicRegionSequence ScanningSequence "
    "ScanOptions SequenceName ProtocolName SliceThickness RepetitionTime EchoTime InversionTime EchoNumbers "
    "StudyInstanceUID SeriesInstanceUID SeriesNumber ImagePositionPatient ImageOrientationPatient "
    "FrameOfReferenceUID Laterality ImageLaterality ConcatenationUID SamplesPerPixel PhotometricInterpretation "
    "NumberOfFrames Rows Columns PixelSpacing BitsAllocated BitsStored EchoPulseSequence EchoPlanarPulseSequence "
    "PulseSequenceName InversionRecovery AcquisitionContrast ComplexImageComponent SpectrallySelectedSuppression "
    "SpectrallySelectedExcitation LossyImageCompression ContributingEquipmentSequence "
    "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"
).split()
_PRIVATE = (0x00210010, 0x0021105C, 0x002110FE)  # see `siemens_options`


def read_headers(paths: Iterable[Path]) -> list[list[Header]]:
    """Read the facts of many files.

    Args:
        paths: any files.

    Returns:
        Per file its images: one of a classic file, one per frame of an Enhanced file, none of what is no DICOM object
        (a DICOMDIR included). A DICOM file that is cut short or whose pixels cannot be decoded here gives one header
        with ``problem`` set.
    """
    know_synthetic_data()
    with quiet(), ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(_read, paths))


def _read(path: Path) -> list[Header]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:  # an image whose transfer failed leaves its name behind
                return [Header(path, problem="the file is empty")] if path.suffix.lower() in _DICOM_SUFFIXES else []
            start = file.read(1024)
            file.seek(0)
            has_preamble = start[128:132] == b"DICM"
            problem = inflated_problem(file, start) if has_preamble else ""
            if problem:
                return [Header(path, problem=problem)]
            dataset = _parse(file, has_preamble, start)
            if dataset is None:
                return [Header(path, problem="the header cannot be parsed")] if has_preamble else []
            if text(dataset, "SOPClassUID") == _DICOMDIR or _is_dicomdir(dataset):
                return []
            return _images(path, dataset, pixel_problem(file, dataset, size))
    except OSError:
        return [Header(path, problem="the file cannot be read")]


def _parse(file: BinaryIO, has_preamble: bool, start: bytes) -> Dataset | None:
    """Parse up to the pixels. A file without preamble must name a SOP class, or it is no DICOM file."""
    import pydicom

    # A data set without preamble starts with group 0002 or 0008, in either byte order.
    if not has_preamble and start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return None
    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, force=not has_preamble, specific_tags=_tags())
    except Exception:  # pydicom lets struct, value, key and recursion errors of damaged files through
        return None
    if not has_preamble and not text(dataset, "SOPClassUID").startswith("1.2.840.10008."):
        return None
    assume_syntax(dataset)
    return dataset


@lru_cache(maxsize=1)
def _tags() -> list[BaseTag]:
    from pydicom.tag import Tag

    return [*map(Tag, _KEYWORDS), *map(Tag, _PRIVATE)]


def _is_dicomdir(dataset: Dataset) -> bool:
    meta = getattr(dataset, "file_meta", None)
    return meta is not None and text(meta, "MediaStorageSOPClassUID") == _DICOMDIR


def _images(path: Path, dataset: Dataset, problem: str) -> list[Header]:
    """Take a file apart into its images, unless it is damaged."""
    enhanced = text(dataset, "SOPClassUID") in identity.ENHANCED_MR_STORAGES
    count = frame_count(dataset)
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    size = rows * columns * count * (integer(dataset, "SamplesPerPixel") or 1)
    size *= max((integer(dataset, "BitsAllocated") or 16) // 8, 1)
    problem = size_problem(count, rows, columns, size) or problem
    if not text(dataset, "SeriesInstanceUID"):
        problem = problem or "no SeriesInstanceUID"
    problem = problem or (count_problem(dataset) if enhanced else "")
    if problem or not enhanced:
        return [_header(path, Frame(dataset), "", count, size, problem)]
    # A stack lies within one file, unless that is part of a concatenation or holds a single frame.
    whole = text(dataset, "ConcatenationUID") or (text(dataset, "SOPInstanceUID") if count > 1 else "")
    return [_header(path, Frame(dataset, number), whole, 1, size // count, "") for number in range(1, count + 1)]


def _header(path: Path, frame: Frame, whole: str, count: int, size: int, problem: str) -> Header:
    dataset = frame.dataset
    return Header(
        path=path,
        frame=frame.number,
        sop_class_uid=text(dataset, "SOPClassUID"),
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        series_instance_uid=text(dataset, "SeriesInstanceUID"),
        study_instance_uid=text(dataset, "StudyInstanceUID"),
        frame_of_reference_uid=text(dataset, "FrameOfReferenceUID"),
        modality=text(dataset, "Modality")[:16].upper(),
        series_number=integer(dataset, "SeriesNumber") or 0,
        series_description=text(dataset, "SeriesDescription"),
        protocol=text(dataset, "ProtocolName"),
        rows=integer(dataset, "Rows") or 0,
        columns=integer(dataset, "Columns") or 0,
        frames=count,
        samples=integer(dataset, "SamplesPerPixel") or 1,
        decoded_bytes=size,
        photometric=text(dataset, "PhotometricInterpretation").upper(),
        pixel_spacing=numbers(frame.holder("PixelSpacing", "PixelMeasuresSequence"), "PixelSpacing", 2),
        position=numbers(frame.holder("ImagePositionPatient", "PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=numbers(
            frame.holder("ImageOrientationPatient", "PlaneOrientationSequence"), "ImageOrientationPatient", 6
        ),
        slice_thickness=(
            numbers(frame.holder("SliceThickness", "PixelMeasuresSequence"), "SliceThickness", 1) or (None,)
        )[0],
        echo_number=integer(dataset, "EchoNumbers"),
        part=part_of(frame) if frame.number else (),
        whole=whole,
        facts=_sequence_facts(frame),
        anatomy=_anatomy_facts(frame),
        lossy=lossy_compression(dataset),
        unknown_charset=unknown_charset(dataset),
        synthetic=synthetic_sign(dataset),
        marked_synthetic=text(dataset, "SyntheticData").upper() == "YES",
        ours=text(dataset, "Manufacturer") == identity.MANUFACTURER,
        patient_simulated=text(dataset, "PatientID").startswith(identity.SIMULATED_PATIENT_PREFIX),
        problem=problem,
    )


def _sequence_facts(frame: Frame) -> SequenceFacts:
    modifier, kind = frame.group("MRModifierSequence"), frame.group("MRImageFrameTypeSequence")
    pulse = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}.get(frame.text("EchoPulseSequence"), ())
    if frame.text("EchoPlanarPulseSequence").upper() == "YES":
        pulse = (*pulse, "EP")

    def coded(keyword: str, group: Dataset | None) -> str:
        return text(group, keyword) or frame.text(keyword)

    return SequenceFacts(
        scanning_sequence=frame.texts("ScanningSequence") or pulse,
        scan_options=frame.texts("ScanOptions") or siemens_options(frame),
        image_type=texts(kind, "FrameType") or frame.texts("ImageType"),
        repetition_time=seconds(
            frame.holder("RepetitionTime", "MRTimingAndRelatedParametersSequence"), "RepetitionTime"
        ),
        echo_time=seconds(frame.group("MREchoSequence"), "EffectiveEchoTime")
        or seconds(frame.holder("EchoTime", "MREchoSequence"), "EchoTime"),
        inversion_time=seconds(frame.holder("InversionTime", "MRModifierSequence"), "InversionTime"),
        description=_joined(frame, "SeriesDescription", "ProtocolName"),
        sequence_name=_joined(frame, "SequenceName", "PulseSequenceName"),
        suppression=coded("SpectrallySelectedSuppression", modifier),
        excitation=coded("SpectrallySelectedExcitation", modifier),
        acquisition_contrast=coded("AcquisitionContrast", kind),
        inversion_recovery=coded("InversionRecovery", modifier),
        complex_component=coded("ComplexImageComponent", kind),
        manufacturer=frame.text("Manufacturer"),
    )


def _anatomy_facts(frame: Frame) -> AnatomyFacts:
    return AnatomyFacts(
        body_part=frame.text("BodyPartExamined")[:_LONGEST_CODE].upper(),
        region=region_of(frame)[:_LONGEST_CODE],
        laterality=laterality_of(frame),
        description=_joined(frame, "SeriesDescription", "ProtocolName", "StudyDescription"),
    )


def _joined(frame: Frame, *keywords: str) -> str:
    return " / ".join(filter(None, map(frame.text, keywords)))
