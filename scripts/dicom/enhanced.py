# SPDX-License-Identifier: Apache-2.0
"""One derived Enhanced MR object of some frames of Enhanced sources.

Only the frames of the chosen stack are in it. Of their functional groups those are copied that say where a frame lies,
when it was acquired and at which echo time; what else describes the acquisition (timing with SAR, coils, encoding) is
left out, as the standard allows for DERIVED frames. A group that is the same for all frames is written once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scripts.dicom import identity
from scripts.dicom.copying import copied_item, copy_elements, keep_raw
from scripts.dicom.frames import Frame, laterality_of
from scripts.dicom.inherited import FLAGS, inherit, mark_lossy
from scripts.dicom.instance import code_item, new_instance, set_pixels, set_window
from scripts.dicom.marking import (
    WINDOW,
    Provenance,
    fill_derivation,
    fill_equipment,
    fill_marks,
    fill_series,
    reference,
    source_image,
)
from scripts.dicom.values import text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# PRIMARY is the one value that Enhanced MR allows in second place.
_IMAGE_TYPE = ("DERIVED", "PRIMARY", "VOLUME", "NONE")
_TOP = (
    "FrameOfReferenceUID PositionReferenceIndicator PatientPosition BodyPartExamined AcquisitionNumber "
    "AcquisitionDateTime MagneticFieldStrength ResonantNucleus ApplicableSafetyStandardAgency "
    "ContrastBolusAgentSequence"
).split()
# Functional group: an attribute that it must have, and what is copied of it.
_COPIED = {
    "PixelMeasuresSequence": ("PixelSpacing", "PixelSpacing SliceThickness SpacingBetweenSlices"),
    "PlanePositionSequence": ("ImagePositionPatient", "ImagePositionPatient"),
    "PlaneOrientationSequence": ("ImageOrientationPatient", "ImageOrientationPatient"),
    "FrameAnatomySequence": ("FrameLaterality", "FrameLaterality AnatomicRegionSequence"),
    "MREchoSequence": ("EffectiveEchoTime", "EffectiveEchoTime"),
    "ContrastBolusUsageSequence": (
        "ContrastBolusAgentNumber",
        "ContrastBolusAgentNumber ContrastBolusAgentAdministered ContrastBolusAgentDetected ContrastBolusAgentPhase",
    ),
}


def derive_frames(
    sources: Sequence[Frame], pixels: np.ndarray, series_uid: str, contrast: str, provenance: Provenance
) -> Dataset:
    """Build the one instance that holds all frames.

    Args:
        sources: one per slice, in slice order, of data sets that have not been looked into before.
        pixels: uint16 (slices, rows, columns).
        series_uid: of the derived series.
        contrast: that was synthesised.
        provenance: what made the pixels.
    """
    first = sources[0].dataset
    target = new_instance(identity.uid_from("derived frames", series_uid), None, identity.ENHANCED_MR_STORAGE)
    inherit(first, target, (*_TOP, *FLAGS), ("PositionReferenceIndicator", "PatientPosition"))
    # Before anything else is read: numbers that have been looked at no longer hold the bytes of the file.
    groups = [_groups(source) for source in sources]
    if "FrameAnatomySequence" not in groups[0]:
        copy_elements(first, target, ["Laterality"])
    _fill_top(first, target)
    fill_series(first, target, contrast, provenance.created)
    target.SeriesInstanceUID = series_uid
    target.InstanceNumber = 1
    fill_marks(target, contrast, _IMAGE_TYPE)
    fill_equipment(first, target, provenance)
    target.DeviceSerialNumber = provenance.weights_sha256[:16]  # Type 1 here; the weights are what tells devices apart
    target.SourceImageEvidenceSequence = _evidence(sources)
    _fill_dimensions(target, series_uid)
    for index, (source, frame) in enumerate(zip(sources, groups, strict=True)):
        frame["FrameContentSequence"] = _content(source, index)
        frame["DerivationImageSequence"] = _derivation(source, contrast, provenance)
    _fill_groups(target, groups)
    set_pixels(target, pixels)
    target.NumberOfFrames = len(pixels)
    keep_raw(first, target)
    return target


def _fill_top(source: Dataset, target: Dataset) -> None:
    mark_lossy(source, target)
    for keyword, value in {
        "LossyImageCompression": "00",
        "BurnedInAnnotation": "NO",
        "ApplicableSafetyStandardAgency": "IEC",
    }.items():
        if not text(target, keyword):
            setattr(target, keyword, value)
    target.PresentationLUTShape = "IDENTITY"
    target.AcquisitionContextSequence = []
    _describe(target)


def _describe(holder: Dataset) -> None:
    """Fill what Enhanced MR asks for both of the image and of its frames."""
    holder.PixelPresentation = "MONOCHROME"
    holder.VolumetricProperties = "VOLUME"
    holder.VolumeBasedCalculationTechnique = "NONE"
    holder.ComplexImageComponent = "MAGNITUDE"
    holder.AcquisitionContrast = "PROTON_DENSITY"


def _groups(source: Frame) -> dict[str, Dataset]:
    """Functional groups of one frame: copied where it has them, our own where the pixels are."""
    from pydicom.dataset import Dataset

    groups = {}
    for name, (needed, keywords) in _COPIED.items():
        holder = source.holder(needed, name)
        if holder is None or needed not in holder:
            continue
        groups[name] = copied_item(source.dataset, holder, keywords.split())
    if "FrameAnatomySequence" not in groups and (anatomy := _anatomy(source)) is not None:
        groups["FrameAnatomySequence"] = anatomy
    kind, values, window = Dataset(), Dataset(), Dataset()
    kind.FrameType = list(_IMAGE_TYPE)
    _describe(kind)
    values.RescaleIntercept, values.RescaleSlope, values.RescaleType = "0", "1", "US"
    set_window(window, *WINDOW)
    return groups | {
        "MRImageFrameTypeSequence": kind,
        "PixelValueTransformationSequence": values,
        "FrameVOILUTSequence": window,
    }


def _anatomy(source: Frame) -> Dataset | None:
    """Say in the frame what a source says at its top, if it names both side and part; neither is guessed."""
    item = copied_item(source.dataset, source.dataset, ["AnatomicRegionSequence"])
    if not item.get("AnatomicRegionSequence") and source.text("BodyPartExamined").upper() == "KNEE":
        item.AnatomicRegionSequence = [code_item("72696002", "SCT", "Knee")]
    item.FrameLaterality = laterality_of(source)
    return item if item.get("AnatomicRegionSequence") and item.FrameLaterality in ("L", "R") else None


def _content(source: Frame, index: int) -> Dataset:
    from pydicom.dataset import Dataset

    times = ("FrameAcquisitionDateTime", "FrameReferenceDateTime")
    item = copied_item(source.dataset, source.group("FrameContentSequence") or Dataset(), times)
    item.StackID = "1"
    item.InStackPositionNumber = index + 1
    item.DimensionIndexValues = [1, index + 1]
    return item


def _derivation(source: Frame, contrast: str, provenance: Provenance) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    fill_derivation(item, contrast, provenance)
    item.SourceImageSequence = [source_image(source.dataset, source.number)]
    return item


def _evidence(sources: Sequence[Frame]) -> list[Dataset]:
    """List each source instance once, below its series and study."""
    from pydicom.dataset import Dataset

    study, series = Dataset(), Dataset()
    instances = {text(source.dataset, "SOPInstanceUID"): source.dataset for source in sources}
    series.ReferencedSOPSequence = [reference(instance) for instance in instances.values()]
    series.SeriesInstanceUID = text(sources[0].dataset, "SeriesInstanceUID")
    study.ReferencedSeriesSequence = [series]
    study.StudyInstanceUID = text(sources[0].dataset, "StudyInstanceUID")
    return [study]


def _fill_dimensions(target: Dataset, series_uid: str) -> None:
    """Order the frames: one stack, by the place in it."""
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataset import Dataset

    organisation = Dataset()
    organisation.DimensionOrganizationUID = identity.uid_from("dimensions", series_uid)
    target.DimensionOrganizationSequence = [organisation]
    indices = []
    for keyword in ("StackID", "InStackPositionNumber"):
        index = Dataset()
        index.DimensionOrganizationUID = organisation.DimensionOrganizationUID
        index.DimensionIndexPointer = tag_for_keyword(keyword)
        index.FunctionalGroupPointer = tag_for_keyword("FrameContentSequence")
        indices.append(index)
    target.DimensionIndexSequence = indices


def _fill_groups(target: Dataset, groups: Sequence[Mapping[str, Dataset]]) -> None:
    """Put what all frames have in common into the shared groups, and the rest frame by frame."""
    from pydicom.dataset import Dataset

    shared = Dataset()
    for name, item in groups[0].items():
        variants = {_encoded(frame[name]) if name in frame else b"" for frame in groups}
        if len(variants) == 1 and name != "FrameContentSequence":  # which may not be shared, not even by one frame
            setattr(shared, name, [item])
    own = []
    for frame in groups:
        holder = Dataset()
        for name, item in frame.items():
            if name not in shared:
                setattr(holder, name, [item])
        own.append(holder)
    target.SharedFunctionalGroupsSequence = [shared]
    target.PerFrameFunctionalGroupsSequence = own


def _encoded(item: Dataset) -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, item)
    return buffer.getvalue()
