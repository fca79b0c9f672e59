# SPDX-License-Identifier: Apache-2.0
"""Simulated studies as DICOM: classic MR images that no one can mistake for a person's.

They are marked ORIGINAL (as a scanner would write them) and SyntheticData YES at once; that, the patient ID and the
manufacturer are how `index` knows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.dicom import identity
from scripts.dicom.instance import code_item, new_instance, save_series, set_pixels, set_window

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_DATE = "19000101"
_TIME = "000000"
_MARKS = frozenset({"SyntheticData", "Manufacturer", "ImageType"})
_TOP = 3000
"""Stored value of a series' 99.9th percentile: within 12 bits with room for the brightest voxels."""


@dataclass(frozen=True)
class SimulatedSeries:
    """One series of a simulated study.

    Attributes:
        array: float32 (slices, rows, columns), magnitudes in any unit; each series is scaled as a whole.
        affine_lps: (4, 4), maps (slice, row, column, 1) to LPS mm; the slice axis is perpendicular to the other two and
            may run either way (slices are read back along the normal, so possibly in reverse, each at its place).
        contrast: "PD" or "PDFS"; stands in for an empty description.
        description: SeriesDescription, at most 64 characters.
        repetition_time: in s.
        echo_time: in s.
        echo_train_length: echoes per excitation.
        field_strength: in tesla.
        fat_suppressed: writes ScanOptions FS.
        localizer: writes ImageType LOCALIZER.
        laterality: "L", "R", or "" where the side is not known.
        header: attributes by keyword that are written instead of what the above says, as other sites write them; None
            leaves one out. What marks a study as simulated stays as it is.
    """

    array: np.ndarray
    affine_lps: np.ndarray
    contrast: str
    description: str
    repetition_time: float
    echo_time: float
    echo_train_length: int
    field_strength: float
    fat_suppressed: bool
    localizer: bool = False
    laterality: str = ""
    header: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        patient = str(self.header.get("PatientID", identity.SIMULATED_PATIENT_PREFIX))
        if _MARKS & set(self.header) or not patient.startswith(identity.SIMULATED_PATIENT_PREFIX):
            raise ValueError("A simulated series stays marked as one; leave its marks and the form of its PatientID.")


def write_simulated_study(folder: Path, series: Sequence[SimulatedSeries], number: int) -> list[Path]:
    """Write a study: one subfolder per series, one file per slice.

    Args:
        folder: made if absent; series go to ``01``, ``02``, ...
        series: all share the study and the frame of reference.
        number: of the simulated patient; with the content it determines every UID.

    Returns:
        The files, series after series, in slice order.

    Raises:
        OutputError: the folder cannot be written to.
    """
    content = [np.ascontiguousarray(one.array, dtype=np.float32).tobytes() for one in series]
    study_uid = identity.uid_from("simulated study", str(number), *content)
    written: list[Path] = []
    for ordinal, one in enumerate(series, start=1):
        series_uid = identity.uid_from("simulated series", study_uid, str(ordinal))
        datasets = _instances(one, number, ordinal, study_uid, series_uid)
        written += save_series(datasets, folder / f"{ordinal:02d}")
    return written


def _instances(series: SimulatedSeries, number: int, ordinal: int, study_uid: str, series_uid: str) -> list[Dataset]:
    top = float(np.percentile(series.array, 99.9)) or 1.0
    stored = np.clip(np.rint(series.array * (_TOP / top)), 0, 4095).astype(np.uint16)
    datasets = []
    for index, pixels in enumerate(stored):
        dataset = new_instance(identity.uid_from("simulated image", series_uid, str(index)), "ISO_IR 100")
        _fill_identity(dataset, number, study_uid)
        _fill_series(dataset, series, ordinal, series_uid)
        _fill_geometry(dataset, series, index)
        dataset.InstanceNumber = index + 1
        set_pixels(dataset, pixels)
        set_window(dataset, 0.5 * _TOP, _TOP)
        _replace(dataset, series.header)
        datasets.append(dataset)
    return datasets


def _fill_identity(dataset: Dataset, number: int, study_uid: str) -> None:
    dataset.SyntheticData = "YES"
    dataset.ContentQualification = "RESEARCH"
    dataset.PatientName = "SIMULATED^KNEE"
    dataset.PatientID = f"{identity.SIMULATED_PATIENT_PREFIX}{number}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.StudyInstanceUID = study_uid
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = _DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = _TIME
    dataset.StudyID = str(number)
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "SIMULATED knee, no person"
    dataset.Manufacturer = identity.MANUFACTURER
    dataset.ManufacturerModelName = "simulator"
    dataset.FrameOfReferenceUID = identity.uid_from("simulated frame of reference", study_uid)
    dataset.PositionReferenceIndicator = ""
    dataset.ImageComments = "Simulated image: computed from a model of a knee, not acquired from a person."


def _fill_series(dataset: Dataset, series: SimulatedSeries, ordinal: int, series_uid: str) -> None:
    dataset.Modality = "MR"
    dataset.SeriesInstanceUID = series_uid
    dataset.SeriesNumber = ordinal
    dataset.SeriesDescription = (series.description or f"SIMULATED {series.contrast}")[:64]
    dataset.PatientPosition = "FFS"
    dataset.BodyPartExamined = "KNEE"
    dataset.AnatomicRegionSequence = [code_item("72696002", "SCT", "Knee")]
    dataset.Laterality = series.laterality
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if series.localizer else "OTHER"]
    dataset.AcquisitionNumber = ordinal
    dataset.ScanningSequence = "SE"
    dataset.SequenceVariant = "SK"
    dataset.ScanOptions = "FS" if series.fat_suppressed else ""
    dataset.MRAcquisitionType = "2D"
    dataset.RepetitionTime = round(1000 * series.repetition_time, 4)
    dataset.EchoTime = round(1000 * series.echo_time, 4)
    dataset.EchoNumbers = 1
    dataset.EchoTrainLength = series.echo_train_length
    dataset.MagneticFieldStrength = round(series.field_strength, 4)
    dataset.ImagedNucleus = "1H"


def _fill_geometry(dataset: Dataset, series: SimulatedSeries, index: int) -> None:
    affine = np.asarray(series.affine_lps, dtype=float)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    along_row, along_column = affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]
    dataset.ImagePositionPatient = _decimal(affine[:3, 3] + index * affine[:3, 0])
    dataset.ImageOrientationPatient = _decimal([*along_row, *along_column])
    dataset.PixelSpacing = _decimal([spacing[1], spacing[2]])
    dataset.SliceThickness = _decimal([spacing[0]])[0]
    dataset.SpacingBetweenSlices = _decimal([spacing[0]])[0]


def _replace(dataset: Dataset, header: Mapping[str, Any]) -> None:
    for keyword, value in header.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)


def _decimal(values: Sequence[float] | np.ndarray) -> list[str]:
    """Write numbers as decimal strings of at most 16 characters (PS3.5, DS)."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(round(float(value), 9) + 0.0) for value in values]
