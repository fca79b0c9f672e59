# SPDX-License-Identifier: Apache-2.0
"""One DICOM header as plain facts: no pixel is read, nothing of the patient is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from scripts.dicom import identity
from scripts.dicom.contrast import SequenceFacts
from scripts.dicom.pixels import pixel_problem, size_problem
from scripts.dicom.pydicom_versions import know_synthetic_data
from scripts.dicom.values import integer, numbers, quiet, seconds, text, texts, value_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_DICOMDIR = "1.2.840.10008.1.3.10"
_TAGS = (
    "SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID SyntheticData Modality Manufacturer SeriesDescription "
    "PatientID BodyPartExamined ScanningSequence ScanOptions SequenceName ProtocolName SliceThickness RepetitionTime "
    "EchoTime InversionTime EchoNumbers StudyInstanceUID SeriesInstanceUID SeriesNumber ImagePositionPatient "
    "ImageOrientationPatient FrameOfReferenceUID SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns "
    "PixelSpacing BitsAllocated EchoPulseSequence PulseSequenceName AcquisitionContrast SpectrallySelectedSuppression "
    "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"
).split()


@dataclass(frozen=True)
class Header:
    """What the index needs to know of one file. Lengths in mm, times in seconds; None or "" where the header is silent.

    Attributes:
        problem: why the file cannot be decoded, or "".
        patient_simulated: PatientID has the form that only simulated studies have.
    """

    path: Path
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""
    frame_of_reference_uid: str = ""
    modality: str = ""
    series_number: int = 0
    series_description: str = ""
    body_part: str = ""
    rows: int = 0
    columns: int = 0
    frames: int = 1
    samples: int = 1
    decoded_bytes: int = 0
    photometric: str = ""
    pixel_spacing: tuple[float, ...] | None = None
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    slice_thickness: float | None = None
    echo_number: int | None = None
    facts: SequenceFacts = field(default_factory=SequenceFacts)
    synthetic: bool = False
    ours: bool = False
    patient_simulated: bool = False
    problem: str = ""

    @property
    def enhanced(self) -> bool:
        """Whether this one file holds a whole stack of frames."""
        return self.sop_class_uid in identity.ENHANCED_MR_STORAGES


def read_header(path: Path) -> Header | None:
    """Read the facts of one file.

    Args:
        path: any file.

    Returns:
        None for anything that is not a DICOM object (a DICOMDIR included). A DICOM file that is cut short or whose
        pixels cannot be decoded here gives a header with ``problem`` set.
    """
    with quiet():
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                has_preamble = file.read(132)[128:] == b"DICM"
                file.seek(0)
                dataset = _parse(file, has_preamble)
                if dataset is None:
                    return Header(path, problem="the header cannot be parsed") if has_preamble else None
                if text(dataset, "SOPClassUID") == _DICOMDIR or _is_dicomdir(dataset):
                    return None
                return _facts(path, dataset, pixel_problem(file, dataset, size))
        except OSError:
            return Header(path, problem="the file cannot be read")


def _parse(file: BinaryIO, has_preamble: bool) -> Dataset | None:
    """Parse up to the pixels. A file without preamble must name a SOP class, or it is no DICOM file."""
    import pydicom

    if not has_preamble and not _could_be_headless(file):
        return None
    know_synthetic_data()
    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, force=not has_preamble, specific_tags=list(_TAGS))
    except Exception:  # pydicom lets struct, value, key and recursion errors of damaged files through
        return None
    if not has_preamble and not text(dataset, "SOPClassUID").startswith("1.2.840.10008."):
        return None
    return dataset


def _could_be_headless(file: BinaryIO) -> bool:
    """Whether bytes start like a data set without preamble: group 0002 or 0008 in either byte order."""
    start = file.read(2)
    file.seek(0)
    return start in (b"\x02\x00", b"\x08\x00", b"\x00\x08")


def _is_dicomdir(dataset: Dataset) -> bool:
    meta = getattr(dataset, "file_meta", None)
    return meta is not None and text(meta, "MediaStorageSOPClassUID") == _DICOMDIR


def _facts(path: Path, dataset: Dataset, problem: str) -> Header:
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    frames, samples = max(integer(dataset, "NumberOfFrames") or 1, 1), integer(dataset, "SamplesPerPixel") or 1
    size = rows * columns * frames * samples * max((integer(dataset, "BitsAllocated") or 16) // 8, 1)
    problem = size_problem(frames, rows, columns, size) or problem
    series_uid = text(dataset, "SeriesInstanceUID")
    if not series_uid:
        problem = problem or "no SeriesInstanceUID"
    return Header(
        path=path,
        sop_class_uid=text(dataset, "SOPClassUID"),
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        series_instance_uid=series_uid,
        study_instance_uid=text(dataset, "StudyInstanceUID"),
        frame_of_reference_uid=text(dataset, "FrameOfReferenceUID"),
        modality=text(dataset, "Modality").upper(),
        series_number=integer(dataset, "SeriesNumber") or 0,
        series_description=text(dataset, "SeriesDescription"),
        body_part=text(dataset, "BodyPartExamined").upper(),
        rows=rows,
        columns=columns,
        frames=frames,
        samples=samples,
        decoded_bytes=size,
        photometric=text(dataset, "PhotometricInterpretation").upper(),
        pixel_spacing=numbers(dataset, "PixelSpacing", 2)
        or numbers(_functional_group(dataset, "PixelMeasuresSequence"), "PixelSpacing", 2),
        position=numbers(dataset, "ImagePositionPatient", 3),
        orientation=numbers(dataset, "ImageOrientationPatient", 6)
        or numbers(_functional_group(dataset, "PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        slice_thickness=(numbers(dataset, "SliceThickness", 1) or (None,))[0],
        echo_number=integer(dataset, "EchoNumbers"),
        facts=_sequence_facts(dataset),
        synthetic=text(dataset, "SyntheticData").upper() == "YES",
        ours=text(dataset, "Manufacturer") == identity.MANUFACTURER,
        patient_simulated=text(dataset, "PatientID").startswith(identity.SIMULATED_PATIENT_PREFIX),
        problem=problem,
    )


def _sequence_facts(dataset: Dataset) -> SequenceFacts:
    timing = _functional_group(dataset, "MRTimingAndRelatedParametersSequence")
    echo = _functional_group(dataset, "MREchoSequence")
    modifier = _functional_group(dataset, "MRModifierSequence")
    words = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
    pulse = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}.get(text(dataset, "EchoPulseSequence"), ())
    return SequenceFacts(
        scanning_sequence=texts(dataset, "ScanningSequence") or pulse,
        scan_options=texts(dataset, "ScanOptions"),
        image_type=texts(dataset, "ImageType"),
        repetition_time=seconds(dataset, "RepetitionTime") or seconds(timing, "RepetitionTime"),
        echo_time=seconds(dataset, "EchoTime") or seconds(echo, "EffectiveEchoTime"),
        inversion_time=seconds(dataset, "InversionTime"),
        description=" / ".join(filter(None, (text(dataset, word) for word in words))),
        suppression=text(modifier, "SpectrallySelectedSuppression") or text(dataset, "SpectrallySelectedSuppression"),
        excitation=text(modifier, "SpectrallySelectedExcitation"),
        acquisition_contrast=text(dataset, "AcquisitionContrast"),
        inversion_recovery=text(modifier, "InversionRecovery"),
    )


def _functional_group(dataset: Dataset, keyword: str) -> Dataset | None:
    """Give the item of an Enhanced MR functional group: shared, or else the first frame's."""
    for holder in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        groups = value_of(dataset, holder)
        group = value_of(groups[0], keyword) if groups else None
        if group:
            return group[0]
    return None
