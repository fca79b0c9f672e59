# SPDX-License-Identifier: Apache-2.0
"""Copying attributes from a source instance, byte for byte where they are text.

pydicom turns "0.50 " into the number 0.5 and writes it back as it likes. Decimal strings that say where a slice lies,
and names in a character set that cannot be decoded here, must come through unchanged; so text is copied as raw bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TEXT = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())


def copy_elements(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy those of the named attributes that the source has, empty ones included.

    Args:
        source: freshly read, so that its elements still hold the bytes of the file.
        target: explicit VR little endian.
        keywords: attribute keywords; private elements within copied sequences are dropped.
    """
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.tag import Tag

    for keyword in keywords:
        number = tag_for_keyword(keyword)
        if number is None:
            raise ValueError(f"{keyword} is not a DICOM keyword")
        tag = Tag(number)
        if tag not in source:
            continue
        vr = dictionary_VR(tag)
        raw = source.get_item(tag)
        if vr in _TEXT and raw is not None and raw.is_raw:
            target[tag] = _as_explicit_little(raw, vr)
        else:
            element = deepcopy(source[tag])
            if element.VR == "SQ":
                for item in element.value:
                    item.remove_private_tags()
            target[tag] = element


def _as_explicit_little(raw: Any, vr: str) -> Any:
    value = raw.value or b""
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    return raw._replace(VR=vr, value=value, length=len(value), is_implicit_VR=False, is_little_endian=True)


def keep_raw(source: Dataset, target: Dataset) -> None:
    """Tell pydicom that the raw elements of ``target`` already have the encoding in which it will be written.

    Without this it decodes and re-encodes them, and the bytes are lost.
    """
    target.set_original_encoding(False, True, source.original_character_set)


def copied_item(source: Dataset, holder: Dataset, keywords: Iterable[str]) -> Dataset:
    """Make an item of a sequence with attributes that stand in a source, or in an item of it.

    Args:
        source: the file's data set, whose character set holds for its items too.
        holder: it, or the item with the attributes.
        keywords: see `copy_elements`.
    """
    from pydicom.dataset import Dataset

    item = Dataset(parent_encoding=source.original_character_set)
    copy_elements(holder, item, keywords)
    keep_raw(source, item)
    return item


def text_of(source: Dataset, keyword: str) -> bytes | None:
    """Give the bytes of a text element as they stand in the file, without padding; None where it is absent.

    Works as long as the element has not been accessed otherwise.
    """
    from pydicom.datadict import tag_for_keyword

    raw = source.get_item(tag_for_keyword(keyword) or 0)
    if raw is None or not raw.is_raw:
        return None
    return bytes(raw.value or b"").rstrip(b" \0")
