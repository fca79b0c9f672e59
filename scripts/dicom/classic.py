# SPDX-License-Identifier: Apache-2.0
"""One derived classic MR image of one classic source image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scripts.dicom import identity
from scripts.dicom.copying import keep_raw
from scripts.dicom.inherited import FLAGS, inherit, mark_lossy
from scripts.dicom.instance import new_instance, set_pixels, set_window
from scripts.dicom.marking import (
    WINDOW,
    Provenance,
    fill_derivation,
    fill_equipment,
    fill_links,
    fill_marks,
    fill_series,
)
from scripts.dicom.values import texts

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_GEOMETRY = (
    "FrameOfReferenceUID PositionReferenceIndicator ImagePositionPatient ImageOrientationPatient PixelSpacing "
    "SliceThickness SpacingBetweenSlices SliceLocation PatientPosition BodyPartExamined Laterality ImageLaterality "
    "AnatomicRegionSequence PatientOrientation"
).split()
# Facts of the acquisition that the synthetic image is computed from.
_ACQUISITION = (
    "AcquisitionDate AcquisitionTime AcquisitionDateTime AcquisitionNumber ScanningSequence SequenceVariant "
    "MRAcquisitionType MagneticFieldStrength ImagedNucleus RepetitionTime EchoTime EchoTrainLength InversionTime "
    "ContrastBolusAgent ContrastBolusAgentSequence ContrastBolusRoute ContrastBolusVolume"
).split()
_MAY_BE_EMPTY = (
    "PositionReferenceIndicator SliceThickness MRAcquisitionType RepetitionTime EchoTime EchoTrainLength "
    "PatientPosition"
).split()


def derive_image(
    source: Dataset, pixels: np.ndarray, index: int, series_uid: str, contrast: str, provenance: Provenance
) -> Dataset:
    """Build one instance.

    Args:
        source: must not have been looked into before, see `copy_elements`.
        pixels: uint16 (rows, columns).
        index: of the slice, from 0.
        series_uid: of the derived series.
        contrast: that was synthesised.
        provenance: what made the pixels.
    """
    target = new_instance(identity.uid_from("derived image", series_uid, str(index)))
    inherit(source, target, (*_GEOMETRY, *_ACQUISITION, *FLAGS), _MAY_BE_EMPTY)
    _fill_type_1(source, target)
    fill_series(source, target, contrast, provenance.created)
    target.SeriesInstanceUID = series_uid
    target.InstanceNumber = index + 1
    fill_marks(target, contrast, ("DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"))
    fill_derivation(target, contrast, provenance)
    fill_links(source, target)
    fill_equipment(source, target, provenance)
    set_pixels(target, pixels)
    set_window(target, *WINDOW)
    keep_raw(source, target)
    return target


def _fill_type_1(source: Dataset, target: Dataset) -> None:
    target.ScanningSequence = list(texts(source, "ScanningSequence")) or "RM"
    target.SequenceVariant = list(texts(source, "SequenceVariant")) or "NONE"
    # Empty on purpose: "FS" here would make cohort tools, and our own recognition, take the image as acquired.
    target.ScanOptions = None
    if "IR" in texts(source, "ScanningSequence") and "InversionTime" not in target:
        target.InversionTime = None
    mark_lossy(source, target)
