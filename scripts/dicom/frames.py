# SPDX-License-Identifier: Apache-2.0
"""One image's view of its data set: a classic file says all at the top, an Enhanced one frame by frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from scripts.dicom.values import integer, text, texts, value_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SHARED = "SharedFunctionalGroupsSequence"
_OPTIONS, _OPTIONS_HOLDER, _OPTIONS_CREATOR = 0x0021105C, 0x002110FE, 0x00210010


class Frame:
    """One frame of an Enhanced data set, or a classic data set as a whole.

    Args:
        dataset: the file, parsed up to its pixels.
        number: of the frame, from 1; 0 for a data set that is not taken apart, which shows its first frame.
    """

    def __init__(self, dataset: Dataset, number: int = 0) -> None:
        self.dataset, self.number = dataset, number
        own, shared = _items(dataset, "PerFrameFunctionalGroupsSequence"), _items(dataset, _SHARED)
        index = max(number, 1) - 1
        self._groups = [*own[index : index + 1], *shared[:1]]
        # A Legacy Converted instance keeps what a classic image had at the top in sequences of its own.
        converted = [f"Unassigned{kind}ConvertedAttributesSequence" for kind in ("PerFrame", "Shared")]
        self._flat = [dataset, *filter(None, map(self.group, converted if self._groups else ()))]

    def group(self, keyword: str) -> Dataset | None:
        """Give the first item of a functional group: the frame's own, or else the one that all frames share."""
        return next((items[0] for items in (_items(group, keyword) for group in self._groups) if items), None)

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Give the values of an attribute that stands outside of functional groups."""
        return next(filter(None, (texts(flat, keyword) for flat in self._flat)), ())

    def text(self, keyword: str) -> str:
        """Give the first of `texts`, or ""."""
        return (self.texts(keyword) or ("",))[0]

    def holder(self, keyword: str, group: str) -> Dataset | None:
        """Give the data set that holds a number: the functional group where it does, else the top level."""
        inside = self.group(group)
        if inside is not None and texts(inside, keyword):
            return inside
        return next((flat for flat in self._flat if texts(flat, keyword)), self.dataset)


def frame_count(dataset: Dataset) -> int:
    """How many frames the header claims; 1 where it does not say."""
    return max(integer(dataset, "NumberOfFrames") or 1, 1)


def count_problem(dataset: Dataset) -> str:
    """Say that an Enhanced file does not describe each of its frames, or give ""."""
    claimed, described = frame_count(dataset), len(_items(dataset, "PerFrameFunctionalGroupsSequence"))
    return "" if claimed == described else f"{claimed} frames are claimed and {described} are described"


def part_of(frame: Frame) -> tuple[str, ...]:
    """What tells the stacks of one Enhanced file apart, beside the orientation and the timing."""
    content, modifier = frame.group("FrameContentSequence"), frame.group("MRModifierSequence")
    kind = frame.group("MRImageFrameTypeSequence")
    return (
        text(content, "StackID"),
        text(kind, "ComplexImageComponent"),
        text(kind, "AcquisitionContrast"),
        text(modifier, "SpectrallySelectedSuppression"),
        text(modifier, "SpectrallySelectedExcitation"),
    )


def region_of(frame: Frame) -> str:
    """Meaning of the coded anatomic region: of the frame, or else of the instance."""
    return text(_region(frame), "CodeMeaning")


def laterality_of(frame: Frame) -> str:
    """The side that is coded: for the frame, for the image, for the series, or as modifier of the region."""
    anatomy = frame.group("FrameAnatomySequence")
    said = text(anatomy, "FrameLaterality") or frame.text("ImageLaterality") or frame.text("Laterality")
    modifiers = _items(_region(frame), "AnatomicRegionModifierSequence")
    return said or next((text(item, "CodeMeaning") for item in modifiers), "")


def _region(frame: Frame) -> Dataset | None:
    for holder in (frame.group("FrameAnatomySequence"), frame.dataset):
        items = _items(holder, "AnatomicRegionSequence")
        if items:
            return items[0]
    return None


def siemens_options(frame: Frame) -> tuple[str, ...]:
    """ScanOptions where Siemens XA keeps them: in private (0021,105C), at the top or in a shared private sequence."""
    shared = _items(frame.dataset, _SHARED)
    holders: list[Any] = [frame.dataset, *(_items(shared[0], _OPTIONS_HOLDER)[:1] if shared else [])]
    for holder in holders:
        element, creator = value_of(holder, _OPTIONS), value_of(holder, _OPTIONS_CREATOR)
        if element is None or creator is None or not str(creator.value).startswith("SIEMENS MR SDS"):
            continue
        value = element.value
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace").split("\\")
        many = isinstance(value, Iterable) and not isinstance(value, str)
        return tuple(str(item).strip(" \0") for item in (value if many else [value]))
    return ()


def _items(dataset: Dataset | None, keyword: str | int) -> list[Dataset]:
    """Give the items of a sequence; none where it is absent or is no sequence."""
    from pydicom.sequence import Sequence

    value = value_of(dataset, keyword)
    value = value.value if isinstance(keyword, int) and value is not None else value  # a number gives the element
    return list(value) if isinstance(value, Sequence) else []
