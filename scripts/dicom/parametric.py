# SPDX-License-Identifier: Apache-2.0
"""A Parametric Map on the slices of a source: numbers with a unit, not grey values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.dicom import identity
from scripts.dicom.copying import keep_raw
from scripts.dicom.files import split_address
from scripts.dicom.frames import Frame
from scripts.dicom.inherited import FLAGS, damage_refused, inherit, mark_lossy, read_source
from scripts.dicom.instance import code_item, new_instance
from scripts.dicom.marking import (
    OEDEMA_SENTENCE,
    Provenance,
    ascii_only,
    fill_equipment,
    fill_times,
    reference,
    series_description,
    series_number,
    source_image,
)
from scripts.dicom.values import integer, numbers, quiet, text
from scripts.errors import GeometryError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_COPIED = "FrameOfReferenceUID PositionReferenceIndicator BodyPartExamined Laterality".split()


@dataclass(frozen=True)
class Quantity:
    """What the numbers of a map are.

    Args:
        label: up to 16 capitals, for lists of contents.
        words: one sentence.
        unit: code value and meaning in UCUM.
        window: values shown black and white.
    """

    label: str
    words: str
    unit: tuple[str, str]
    window: tuple[float, float]


def derive_map(
    files: Sequence[Path], values: np.ndarray, contrast: str, quantity: Quantity, provenance: Provenance
) -> Dataset:
    """Make the map of one stack, in memory: one instance of 32-bit floats, in a series of its own.

    UIDs follow sources, provenance and values, as those of derived series do.

    Args:
        files: instances or addresses of Enhanced frames in slice order, as ``Volume.files`` holds them.
        values: finite, ``(slices, rows, columns)``.
        contrast: that was synthesised.
        quantity: what the numbers are.
        provenance: what made them.

    Raises:
        DecodeError: a source header is damaged.
        GeometryError: the files do not have the shape of the values.
    """
    pixels = np.ascontiguousarray(values, dtype="<f4")
    if not np.isfinite(pixels).all():
        raise ValueError("a map holds values that are not finite; need finite ones")
    with quiet(), damage_refused(Path(files[0])):
        stubs = _stubs(files)
        if (len(stubs), stubs[0].Rows, stubs[0].Columns) != pixels.shape:
            raise GeometryError(
                f"{len(stubs)} source slices do not match a map of {pixels.shape}; give the files that were read"
            )
        uids = [str(stub.SOPInstanceUID) for stub in stubs]  # of slices, see `_stubs`
        parts: tuple[str | bytes, ...] = (*provenance.identity, contrast, quantity.label, *uids, pixels.tobytes())
        series_uid, uid = identity.uid_from("map series", *parts), identity.uid_from("map", *parts)
        target = _map(stubs, pixels, quantity, series_uid, uid)
        _point_to_sources(target, dict(zip(uids, files, strict=True)))
        source = read_source(files[0])  # untouched: what is copied must not have been looked into
        _own(target, source, contrast, quantity, provenance)
        return target


def _map(stubs: list[Dataset], pixels: np.ndarray, quantity: Quantity, series_uid: str, uid: str) -> Dataset:
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.coding import Code

    code, meaning = quantity.unit
    mapping = RealWorldValueMapping(
        lut_label=quantity.label,
        lut_explanation=quantity.words[:64],
        unit=Code(code, "UCUM", meaning),
        value_range=(0.0, float(max(pixels.max(), 1.0))),
        slope=1.0,
        intercept=0.0,
    )
    low, high = quantity.window
    return ParametricMap(
        stubs,
        pixels,
        series_instance_uid=series_uid,
        series_number=1,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=identity.MANUFACTURER,
        manufacturer_model_name="-",
        software_versions="-",
        device_serial_number=uid[-16:],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        window_center=(low + high) / 2,
        window_width=high - low,
        content_label=quantity.label,
        content_description=quantity.words[:64],
        content_qualification="RESEARCH",
        derived_pixel_contrast="NONE",
    )


def _point_to_sources(target: Dataset, files: Mapping[str, Path]) -> None:
    """Put the instances, and their frames where they are Enhanced, in the place of the slices that stood for them."""
    from pydicom.dataset import Dataset

    instances: dict[str, Dataset] = {}
    for frame in target.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            found = []
            for item in derivation.SourceImageSequence:
                path, number = split_address(Path(files[str(item.ReferencedSOPInstanceUID)]))
                if str(path) not in instances:
                    instances[str(path)] = read_source(path)
                found.append(source_image(instances[str(path)], number))
            derivation.SourceImageSequence = found
    series = Dataset()
    series.SeriesInstanceUID = text(next(iter(instances.values())), "SeriesInstanceUID")
    series.ReferencedInstanceSequence = [reference(instance) for instance in instances.values()]
    target.ReferencedSeriesSequence = [series]
    for keyword in ("SourceImageSequence", "StudiesContainingOtherReferencedInstancesSequence"):
        if keyword in target:
            delattr(target, keyword)


def _own(target: Dataset, source: Dataset, contrast: str, quantity: Quantity, provenance: Provenance) -> None:
    """Say what every instance of this project says, in the words of the source where they are the patient's."""
    instance = new_instance(target.SOPInstanceUID, None, target.SOPClassUID)
    target.file_meta.ImplementationClassUID = instance.file_meta.ImplementationClassUID
    target.file_meta.ImplementationVersionName = instance.file_meta.ImplementationVersionName
    for keyword in ("PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID").split():
        if keyword in target:
            delattr(target, keyword)
    for keyword in ("AccessionNumber", "ReferringPhysicianName", "SpecificCharacterSet", *FLAGS):
        if keyword in target:
            delattr(target, keyword)
    inherit(source, target, (*_COPIED, *FLAGS), ("PositionReferenceIndicator",))
    mark_lossy(source, target)
    for keyword, usual in _PLAIN:
        if keyword not in target:
            setattr(target, keyword, usual)
    target.SeriesNumber = series_number(source, 3)
    target.SeriesDescription = series_description(f"SYNTH {contrast} (AI) uncertainty")
    fill_times(source, target, provenance.created)
    target.SyntheticData = "YES"
    oedema = f" {OEDEMA_SENTENCE}" if contrast == "PDFS" else ""
    target.ImageComments = f"{quantity.words} Research use only; not for diagnosis.{oedema}"
    options = ", ".join(f"{key}={value}" for key, value in sorted(provenance.options.items()))
    target.DerivationDescription = ascii_only(
        f"Uncertainty of the synthetic {contrast} image computed by {provenance.model_name} "
        f"{provenance.model_version}; not acquired. {quantity.words} Weights sha256 {provenance.weights_sha256}. "
        f"Options: {options or 'none'}."
    )[:1024]
    target.DerivationCodeSequence = [code_item("123110", "DCM", "Artificial Intelligence")]
    fill_equipment(source, target, provenance)
    target.DeviceSerialNumber = provenance.weights_sha256[:16]  # Type 1 in enhanced equipment
    keep_raw(source, target)


def _stubs(files: Sequence[Path]) -> list[Dataset]:
    """One classic image's header for each slice: no more of it than its identity and where it lies."""
    from pydicom.dataset import Dataset

    addresses = [split_address(Path(file)) for file in files]
    datasets = {path: read_source(path) for path in dict.fromkeys(path for path, _ in addresses)}
    found = []
    for path, number in addresses:
        frame = Frame(datasets[path], number)
        stub = Dataset()
        stub.SOPClassUID = identity.MR_IMAGE_STORAGE
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(stub, keyword, text(frame.dataset, keyword))
        # Frames of one instance would count as one image given several times.
        stub.SOPInstanceUID = identity.uid_from("slice", text(frame.dataset, "SOPInstanceUID"), str(number))
        stub.Modality = "MR"
        stub.Rows, stub.Columns = integer(frame.dataset, "Rows"), integer(frame.dataset, "Columns")
        for keyword, group, count in _PLACES:
            value = numbers(frame.holder(keyword, group), keyword, count)
            if value is None:
                raise GeometryError(f"a source slice has no {keyword}; a map needs it")
            setattr(stub, keyword, list(value))
        thickness = numbers(frame.holder("SliceThickness", "PixelMeasuresSequence"), "SliceThickness", 1)
        stub.SliceThickness = thickness[0] if thickness else None
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(stub, keyword, None)
        stub.StudyDate = stub.StudyTime = stub.ReferringPhysicianName = None
        found.append(stub)
    return found


_PLAIN = (("BurnedInAnnotation", "NO"), ("LossyImageCompression", "00"), ("RecognizableVisualFeatures", "NO"))
_PLACES = (
    ("ImagePositionPatient", "PlanePositionSequence", 3),
    ("ImageOrientationPatient", "PlaneOrientationSequence", 6),
    ("PixelSpacing", "PixelMeasuresSequence", 2),
)
