# SPDX-License-Identifier: Apache-2.0
"""What a derived instance says about itself: synthetic, from which slice, by whom, and what it cannot show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from scripts.dicom import identity
from scripts.dicom.contrast import PD, PDFS
from scripts.dicom.copying import copy_elements, keep_raw
from scripts.dicom.instance import code_item
from scripts.dicom.values import text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OEDEMA_SENTENCE = (
    "Marrow oedema that is not visible on PD cannot appear in a synthetic PDFS; "
    "a normal-looking synthetic PDFS does not exclude it."
)
STORED_PER_UNIT = 1000
"""Stored value of 1.0, the target contrast's 99.5th percentile in the body."""


@dataclass(frozen=True)
class Provenance:
    """What made an image.

    Attributes:
        model_name: name of the model.
        model_version: its version.
        weights_sha256: hex digest of the weights file.
        options: everything else that shapes the pixels, e.g. direction or ensemble size.
        created: when; given in the source's time zone where it names one and ``created`` knows its own.
    """

    model_name: str
    model_version: str
    weights_sha256: str
    options: Mapping[str, str]
    created: datetime


def fill_marks(source: Dataset, target: Dataset, contrast: str, provenance: Provenance) -> None:
    """Say in image type, flags and words that the image is computed, from what, and what it cannot show."""
    other = PD if contrast == PDFS else PDFS
    oedema = f" {OEDEMA_SENTENCE}" if contrast == PDFS else ""
    target.ImageType = ["DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"]
    target.SyntheticData = "YES"
    target.ContentQualification = "RESEARCH"
    target.ImageComments = (
        f"SYNTHETIC {contrast}, computed, not acquired. Research use only; not for diagnosis.{oedema}"
    )
    options = ", ".join(f"{key}={value}" for key, value in sorted(provenance.options.items()))
    description = (
        f"Synthetic {contrast} image computed from the {other} image of the same slice by {provenance.model_name} "
        f"{provenance.model_version}; not acquired. Research use only; not a medical device; not for diagnosis."
        f"{oedema} Stored value {STORED_PER_UNIT} is the 99.5th percentile of the {contrast} contrast in the body. "
        f"Weights sha256 {provenance.weights_sha256}. Options: {options or 'none'}."
    )
    target.DerivationDescription = _ascii(description)[:1024]
    target.DerivationCodeSequence = [code_item("123110", "DCM", "Artificial Intelligence")]


def fill_links(source: Dataset, target: Dataset) -> None:
    """Point to the source slice, in the same form on every instance: some viewers refuse a mixed series."""
    from pydicom.dataset import Dataset

    def reference() -> Dataset:
        item = Dataset()
        item.ReferencedSOPClassUID = text(source, "SOPClassUID")
        item.ReferencedSOPInstanceUID = text(source, "SOPInstanceUID")
        return item

    image = reference()
    image.SpatialLocationsPreserved = "YES"
    image.PurposeOfReferenceCodeSequence = [code_item("121322", "DCM", "Source image for image processing operation")]
    target.SourceImageSequence = [image]
    series = Dataset()
    series.SeriesInstanceUID = text(source, "SeriesInstanceUID")
    series.ReferencedInstanceSequence = [reference()]
    target.ReferencedSeriesSequence = [series]


def fill_equipment(source: Dataset, target: Dataset, provenance: Provenance) -> None:
    """Put ourselves in General Equipment and the scanner among the contributors (PS3.3 C.12.1.1.5)."""
    from pydicom.dataset import Dataset

    target.Manufacturer = identity.MANUFACTURER
    target.ManufacturerModelName = _ascii(provenance.model_name)[:64]
    target.SoftwareVersions = _ascii(provenance.model_version)[:64]
    copy_elements(source, target, ["ContributingEquipmentSequence"])
    items = list(target.get("ContributingEquipmentSequence") or [])
    scanner = Dataset()
    keywords = (
        "Manufacturer InstitutionName StationName ManufacturerModelName DeviceSerialNumber SoftwareVersions".split()
    )
    copy_elements(source, scanner, keywords)
    if not text(source, "Manufacturer"):
        scanner.Manufacturer = "UNKNOWN"  # Type 1 here
    derived = text(source, "ImageType").upper() == "DERIVED"
    purpose = ("109102", "DCM", "Processing Equipment") if derived else ("109101", "DCM", "Acquisition Equipment")
    scanner.PurposeOfReferenceCodeSequence = [code_item(*purpose)]
    keep_raw(source, scanner)
    ours = Dataset()
    ours.Manufacturer = identity.MANUFACTURER
    ours.ManufacturerModelName = target.ManufacturerModelName
    ours.SoftwareVersions = target.SoftwareVersions
    ours.DeviceUID = identity.uid_from("device", provenance.model_name, provenance.weights_sha256)
    created = local_time(provenance.created, text(source, "TimezoneOffsetFromUTC"))
    ours.ContributionDateTime = created.strftime("%Y%m%d%H%M%S")
    ours.ContributionDescription = "Synthesised the pixel data; research use"
    ours.PurposeOfReferenceCodeSequence = [code_item("109100", "DCM", "Synthesizing Equipment")]
    target.ContributingEquipmentSequence = [*items, scanner, ours]


def local_time(created: datetime, offset: str) -> datetime:
    """Move a zone-aware time to the zone that the copied TimezoneOffsetFromUTC claims for all times of the instance."""
    if created.tzinfo is None or len(offset) != 5 or offset[0] not in "+-" or not offset[1:].isdigit():
        return created
    minutes = math.copysign(60 * int(offset[1:3]) + int(offset[3:]), float(f"{offset[0]}1"))
    return created.astimezone(timezone(timedelta(minutes=minutes)))


def _ascii(words: str) -> str:
    return words.encode("ascii", "replace").decode().replace("\\", "/")
