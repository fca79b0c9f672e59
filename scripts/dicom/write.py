# SPDX-License-Identifier: Apache-2.0
"""A derived classic MR series beside its source: one instance per source slice, marked synthetic throughout.

Attributes are copied from a whitelist, never by cloning the source: a clone would carry private data, SAR that would be
counted twice, and a ScanOptions that makes a computed image pass for an acquired one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.dicom import identity
from scripts.dicom.contrast import PD, PDFS
from scripts.dicom.copying import copy_elements, keep_raw
from scripts.dicom.files import split_address
from scripts.dicom.geometry import normal_of
from scripts.dicom.instance import MAX_STORED, new_instance, save_series, set_pixels
from scripts.dicom.marking import (
    OEDEMA_SENTENCE,
    STORED_PER_UNIT,
    Provenance,
    fill_equipment,
    fill_links,
    fill_marks,
    local_time,
)
from scripts.dicom.pixels import LOSSY_SYNTAXES
from scripts.dicom.values import integer, numbers, quiet, text, texts
from scripts.errors import DecodeError, GateError, GeometryError, KneeSynthError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["OEDEMA_SENTENCE", "STORED_PER_UNIT", "Provenance", "derive_series", "save_series"]

WINDOW_CENTER, WINDOW_WIDTH = 500, 1000
"""One fixed window for both contrasts: a bad result looks bad."""

# Copied verbatim with the character set that they are written in.
_PATIENT_AND_STUDY = (
    "SpecificCharacterSet TimezoneOffsetFromUTC PatientName PatientID IssuerOfPatientID OtherPatientIDs "
    "PatientBirthDate PatientBirthTime PatientSex PatientAge PatientSize PatientWeight PatientIdentityRemoved "
    "DeidentificationMethod DeidentificationMethodCodeSequence ClinicalTrialSponsorName ClinicalTrialProtocolID "
    "ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSubjectID "
    "ClinicalTrialSubjectReadingID ClinicalTrialTimePointID StudyInstanceUID StudyDate StudyTime StudyID "
    "AccessionNumber StudyDescription ReferringPhysicianName"
).split()
_GEOMETRY = (
    "FrameOfReferenceUID PositionReferenceIndicator ImagePositionPatient ImageOrientationPatient PixelSpacing "
    "SliceThickness SpacingBetweenSlices SliceLocation PatientPosition BodyPartExamined Laterality ImageLaterality "
    "AnatomicRegionSequence PatientOrientation"
).split()
# Facts of the acquisition that the synthetic image is computed from.
_ACQUISITION = (
    "AcquisitionDate AcquisitionTime AcquisitionDateTime AcquisitionNumber ScanningSequence SequenceVariant "
    "MRAcquisitionType MagneticFieldStrength ImagedNucleus RepetitionTime EchoTime EchoTrainLength InversionTime "
    "ContrastBolusAgent ContrastBolusAgentSequence ContrastBolusRoute ContrastBolusVolume BurnedInAnnotation "
    "LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod"
).split()
# Type 2: present, empty where the source does not say (anonymised files often lack them).
_MAY_BE_EMPTY = (
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber "
    "ReferringPhysicianName PositionReferenceIndicator SliceThickness MRAcquisitionType RepetitionTime EchoTime "
    "EchoTrainLength PatientPosition"
).split()


def derive_series(files: Sequence[Path], stored: np.ndarray, contrast: str, provenance: Provenance) -> list[Dataset]:
    """Make the derived instances of one stack, in memory.

    UIDs hash the source UIDs, the weights, the options and the output pixels: the same UID always means the same
    pixels, and a repeated run gives the same series.

    Args:
        files: classic MR images in slice order, as ``Volume.files`` holds them.
        stored: uint16 (slices, rows, columns), 0..4095, 1000 = the target contrast's 99.5th percentile in the body.
        contrast: "PD" or "PDFS", the contrast that was synthesised.
        provenance: what made the pixels.

    Returns:
        One dataset per slice, ready for `save_series`.

    Raises:
        ValueError: ``stored`` is not of the type and range above, or ``contrast`` is neither PD nor PDFS.
        DecodeError: a source file cannot be parsed.
        GateError: a source file is not a classic MR image.
        GeometryError: the files are not of one stack in slice order, or do not have the shape of ``stored``.
    """
    _check_arguments(stored, contrast)
    with quiet():
        sources = [_source(Path(file)) for file in files]
        _check_sources(sources, stored)
        uids = [text(source, "SOPInstanceUID") for source in sources]
        options = [f"{key}={value}" for key, value in sorted(provenance.options.items())]
        pixels = np.ascontiguousarray(stored, dtype="<u2")
        made_by = (provenance.model_name, provenance.model_version, provenance.weights_sha256, contrast, *options)
        series_uid = identity.uid_from("derived series", *made_by, *uids, str(pixels.shape), pixels.tobytes())
        # A second, untouched reading: elements that were looked at above no longer hold the bytes of the file.
        return [
            _derive_from(Path(file), pixels[index], index, series_uid, contrast, provenance)
            for index, file in enumerate(files)
        ]


def _check_arguments(stored: np.ndarray, contrast: str) -> None:
    if contrast not in (PD, PDFS):
        raise ValueError(f"contrast is {contrast!r}; need {PD!r} or {PDFS!r}")
    if stored.dtype != np.uint16 or stored.ndim != 3:
        raise ValueError(f"stored is {stored.dtype} with {stored.ndim} axes; need uint16 (slices, rows, columns)")
    if stored.size and stored.max() > MAX_STORED:
        raise ValueError(f"stored reaches {stored.max()}; need at most {MAX_STORED}")


def _source(path: Path) -> Dataset:
    import pydicom

    path, _ = split_address(path)
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        known = dataset.get_item("SOPClassUID") is not None
    except Exception as error:  # a damaged header fails in many ways
        raise DecodeError(f"{path.name} cannot be parsed ({type(error).__name__}); export the series again") from error
    if not known:
        raise DecodeError(f"{path.name} is no DICOM image; give the files of one MR stack")
    return dataset


def _check_sources(sources: Sequence[Dataset], stored: np.ndarray) -> None:
    if any(text(source, "SOPClassUID") != identity.MR_IMAGE_STORAGE for source in sources):
        raise GateError(
            "a source file is not a classic MR image; derived series are written for those; "
            "ask for NIfTI alone with --format nifti, or convert the source",
            liftable=False,
        )
    shapes = {(integer(source, "Rows"), integer(source, "Columns")) for source in sources}
    if len(sources) != len(stored) or shapes != {stored.shape[1:]}:
        raise GeometryError(
            f"{len(sources)} source slices do not match {len(stored)} synthesised ones of {stored.shape[1:]}; "
            "give the files that were read"
        )
    if len({text(source, "SeriesInstanceUID") for source in sources}) > 1:
        raise GeometryError("the source files belong to several series; give the files of one stack")
    positions = [numbers(source, "ImagePositionPatient", 3) for source in sources]
    orientation = numbers(sources[0], "ImageOrientationPatient", 6)
    if orientation is None or any(position is None for position in positions):
        raise GeometryError("source slices have no position or orientation; a derived series needs both")
    places = np.array(positions, dtype=float) @ normal_of(orientation)
    if (np.diff(places) <= 0).any():
        raise GeometryError("the source files are not in slice order; give them as they were read")


def _derive_from(path: Path, *arguments: Any) -> Dataset:
    try:
        return _derive(_source(path), *arguments)
    except KneeSynthError:
        raise
    except Exception as error:  # what is copied is parsed here for the first time, and fails in many ways
        raise DecodeError(
            f"{split_address(path)[0].name}: its header cannot be copied ({type(error).__name__}); need a sound one; "
            "export the series again"
        ) from error


def _derive(
    source: Dataset, pixels: np.ndarray, index: int, series_uid: str, contrast: str, provenance: Provenance
) -> Dataset:
    """Build one instance. ``source`` must not have been looked into before, see `copy_elements`."""
    target = new_instance(identity.uid_from("derived image", series_uid, str(index)))
    copy_elements(source, target, (*_PATIENT_AND_STUDY, *_GEOMETRY, *_ACQUISITION))
    for keyword in _MAY_BE_EMPTY:
        if keyword not in target:
            setattr(target, keyword, None)
    _fill_type_1(source, target)
    _fill_series(source, target, index, series_uid, contrast, provenance)
    fill_marks(source, target, contrast, provenance)
    fill_links(source, target)
    fill_equipment(source, target, provenance)
    set_pixels(target, pixels, WINDOW_CENTER, WINDOW_WIDTH)
    keep_raw(source, target)
    return target


def _fill_type_1(source: Dataset, target: Dataset) -> None:
    target.ScanningSequence = list(texts(source, "ScanningSequence")) or "RM"
    target.SequenceVariant = list(texts(source, "SequenceVariant")) or "NONE"
    # Empty on purpose: "FS" here would make cohort tools, and our own recognition, take the image as acquired.
    target.ScanOptions = None
    if "IR" in texts(source, "ScanningSequence") and "InversionTime" not in target:
        target.InversionTime = None
    syntax = text(getattr(source, "file_meta", None), "TransferSyntaxUID")
    if syntax in LOSSY_SYNTAXES and text(source, "LossyImageCompression") != "01":
        target.LossyImageCompression = "01"
        target.LossyImageCompressionMethod = LOSSY_SYNTAXES[syntax]


def _fill_series(
    source: Dataset, target: Dataset, index: int, series_uid: str, contrast: str, provenance: Provenance
) -> None:
    created = local_time(provenance.created, text(source, "TimezoneOffsetFromUTC"))
    date, time = created.strftime("%Y%m%d"), created.strftime("%H%M%S")
    target.Modality = "MR"
    target.SeriesInstanceUID = series_uid
    number = integer(source, "SeriesNumber")
    target.SeriesNumber = 100 * number + 1 if number is not None and 0 <= number < 10**7 else 9901
    target.SeriesDescription = _description(source, contrast)
    target.SeriesDate = target.ContentDate = target.InstanceCreationDate = date
    target.SeriesTime = target.ContentTime = target.InstanceCreationTime = time
    target.InstanceNumber = index + 1


def _description(source: Dataset, contrast: str) -> str:
    """Put the mark first: some viewers show 16 characters. Ours is ASCII whatever the source's character set is."""
    words = text(source, "SeriesDescription") or f"series {text(source, 'SeriesNumber') or 'without number'}"
    words = "".join(c if c.isascii() and c.isprintable() and c not in "<>\\^" else "?" for c in words)
    return f"SYNTH {contrast} (AI) of {words}"[:64].rstrip()
