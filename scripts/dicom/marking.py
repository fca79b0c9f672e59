# SPDX-License-Identifier: Apache-2.0
"""What a derived instance says about itself: synthetic, from which slice, by whom, and what it cannot show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from scripts.dicom import identity
from scripts.dicom.contrast import PD, PDFS
from scripts.dicom.copying import copied_item, copy_elements
from scripts.dicom.instance import code_item
from scripts.dicom.values import integer, text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OEDEMA_SENTENCE = (
    "Marrow oedema that is not visible on PD cannot appear in a synthetic PDFS; "
    "a normal-looking synthetic PDFS does not exclude it."
)
STORED_PER_UNIT = 1000
"""Stored value of 1.0, the target contrast's 99.5th percentile in the body."""
WINDOW = 500, 1000
"""Center and width in stored values: one fixed window for both contrasts, so that a bad result looks bad."""


@dataclass(frozen=True)
class Provenance:
    """What made an image.

    Attributes:
        model_name: name of the model.
        model_version: its version.
        weights_sha256: hex digest of the weights file.
        options: everything else that shapes the pixels, e.g. direction or ensemble size.
        created: when; given in the source's time zone where it names one and ``created`` knows its own.
        mark: where the word SYNTHETIC is burned into the pixels, as "top left corner"; "" where it is not.
    """

    model_name: str
    model_version: str
    weights_sha256: str
    options: Mapping[str, str]
    created: datetime
    mark: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """All of it that tells two syntheses of one source apart; the time does not."""
        options = [f"{key}={value}" for key, value in sorted(self.options.items())]
        return self.model_name, self.model_version, self.weights_sha256, f"mark={self.mark}", *options


def fill_marks(target: Dataset, contrast: str, image_type: Sequence[str]) -> None:
    """Say in image type, flags and words that the image is computed and what it cannot show."""
    target.ImageType = list(image_type)
    target.SyntheticData = "YES"
    target.ContentQualification = "RESEARCH"
    target.ImageComments = (
        f"SYNTHETIC {contrast}, computed, not acquired. Research use only; not for diagnosis.{_oedema(contrast)}"
    )


def fill_derivation(holder: Dataset, contrast: str, provenance: Provenance) -> None:
    """Say how the image came to be: at the top of a classic instance, or in a frame's own functional group."""
    other = PD if contrast == PDFS else PDFS
    options = ", ".join(f"{key}={value}" for key, value in sorted(provenance.options.items()))
    mark = f" The word SYNTHETIC is burned into the {provenance.mark}." if provenance.mark else ""
    description = (
        f"Synthetic {contrast} image computed from the {other} image of the same slice by {provenance.model_name} "
        f"{provenance.model_version}; not acquired. Research use only; not a medical device; not for diagnosis."
        f"{_oedema(contrast)} Stored value {STORED_PER_UNIT} is the 99.5th percentile of the {contrast} contrast in "
        f"the body.{mark} Weights sha256 {provenance.weights_sha256}. Options: {options or 'none'}."
    )
    holder.DerivationDescription = ascii_only(description)[:1024]
    holder.DerivationCodeSequence = [code_item("123110", "DCM", "Artificial Intelligence")]


def fill_series(source: Dataset, target: Dataset, contrast: str, created: datetime) -> None:
    """Describe the new series; its UID and the instance's number are the caller's.

    The mark comes first in the description: some viewers show 16 characters.
    """
    words = text(source, "SeriesDescription") or f"series {text(source, 'SeriesNumber') or 'without number'}"
    target.Modality = "MR"
    target.SeriesNumber = series_number(source, 1)
    target.SeriesDescription = series_description(f"SYNTH {contrast} (AI) of {words}")
    fill_times(source, target, created)


def series_number(source: Dataset, place: int) -> int:
    """Number of a new series: behind the source's, in the order of ``place``."""
    number = integer(source, "SeriesNumber")
    return (100 * number if number is not None and 0 <= number < 10**7 else 9900) + place


def series_description(words: str) -> str:
    """Words that any viewer and archive takes: ASCII whatever the source's character set is, at most 64 characters."""
    return "".join(c if c.isascii() and c.isprintable() and c not in "<>\\^" else "?" for c in words)[:64].rstrip()


def fill_times(source: Dataset, target: Dataset, created: datetime) -> None:
    """Date the new series and its content, in the source's time zone."""
    created = local_time(created, text(source, "TimezoneOffsetFromUTC"))
    target.SeriesDate = target.ContentDate = target.InstanceCreationDate = created.strftime("%Y%m%d")
    target.SeriesTime = target.ContentTime = target.InstanceCreationTime = created.strftime("%H%M%S")


def reference(instance: Dataset, frame: int = 0) -> Dataset:
    """Make an item that points to an instance, or to one frame of it."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = text(instance, "SOPClassUID")
    item.ReferencedSOPInstanceUID = text(instance, "SOPInstanceUID")
    if frame:
        item.ReferencedFrameNumber = frame
    return item


def source_image(source: Dataset, frame: int = 0, same_place: bool = True) -> Dataset:
    """Make an item that names what an image was computed from."""
    item = reference(source, frame)
    if same_place:
        item.SpatialLocationsPreserved = "YES"
    item.PurposeOfReferenceCodeSequence = [code_item("121322", "DCM", "Source image for image processing operation")]
    return item


def fill_links(source: Dataset, target: Dataset) -> None:
    """Point to the source slice, in the same form on every instance: some viewers refuse a mixed series."""
    from pydicom.dataset import Dataset

    target.SourceImageSequence = [source_image(source)]
    series = Dataset()
    series.SeriesInstanceUID = text(source, "SeriesInstanceUID")
    series.ReferencedInstanceSequence = [reference(source)]
    target.ReferencedSeriesSequence = [series]


def fill_equipment(source: Dataset, target: Dataset, provenance: Provenance) -> None:
    """Put ourselves in General Equipment and the scanner among the contributors (PS3.3 C.12.1.1.5)."""
    from pydicom.dataset import Dataset

    target.Manufacturer = identity.MANUFACTURER
    target.ManufacturerModelName = ascii_only(provenance.model_name)[:64]
    target.SoftwareVersions = ascii_only(provenance.model_version)[:64]
    copy_elements(source, target, ["ContributingEquipmentSequence"])
    items = list(target.get("ContributingEquipmentSequence") or [])
    keywords = "Manufacturer InstitutionName StationName ManufacturerModelName DeviceSerialNumber SoftwareVersions"
    scanner = copied_item(source, source, keywords.split())
    if not text(source, "Manufacturer"):
        scanner.Manufacturer = "UNKNOWN"  # Type 1 here
    derived = text(source, "ImageType").upper() == "DERIVED"
    purpose = ("109102", "DCM", "Processing Equipment") if derived else ("109101", "DCM", "Acquisition Equipment")
    scanner.PurposeOfReferenceCodeSequence = [code_item(*purpose)]
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


def _oedema(contrast: str) -> str:
    return f" {OEDEMA_SENTENCE}" if contrast == PDFS else ""


def ascii_only(words: str) -> str:
    """Plain ASCII without the backslash, which separates values."""
    return words.encode("ascii", "replace").decode().replace("\\", "/")
