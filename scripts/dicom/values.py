# SPDX-License-Identifier: Apache-2.0
"""Forgiving access to header values: what cannot be read counts as absent, and nothing is logged."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from scripts.errors import printable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

_PLAIN = frozenset({"CS", "DS", "IS", "LO", "SH", "UI", "US"})


_quiet_lock = threading.Lock()
_quiet_now = 0
_quiet_end = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom: its warnings quote values, and a damaged header may repeat them per file.

    Levels and filters belong to the process, so the first thread in silences and the last one out restores.
    """
    global _quiet_now
    with _quiet_lock:
        if not _quiet_now:
            logger = logging.getLogger("pydicom")
            _quiet_end.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
            _quiet_end.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _quiet_now += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_now -= 1
            if not _quiet_now:
                _quiet_end.close()


def value_of(dataset: Dataset | None, keyword: str | int) -> Any:
    """Give an element's value, or None where it is absent, empty, or unreadable."""
    try:
        value = None if dataset is None else dataset.get(keyword)
    except Exception:  # a value that contradicts its representation raises many kinds
        return None
    return None if value is None or value == "" else value


def texts(dataset: Dataset | None, keyword: str) -> tuple[str, ...]:
    """Give all values as stripped, non-empty strings without control characters."""
    plain = None if dataset is None else _plain_text(dataset, keyword)
    if plain is not None:
        items = [item.strip(" \0") for item in plain.split("\\")]
    else:
        value = value_of(dataset, keyword)
        if value is None:
            return ()
        many = hasattr(value, "__iter__") and not isinstance(value, str)
        items = [str(item).strip() for item in (value if many else [value])]
    return tuple(printable(item) for item in items if item)


def _plain_text(dataset: Dataset, keyword: str) -> str | None:
    """Give the text of an element that nobody has looked at and that is plain; pydicom's own way takes ten times.

    ASCII means the same in every character set of DICOM as long as nothing switches between sets.
    """
    tag, vr = _dictionary_entry(keyword)
    if vr not in _PLAIN:
        return None
    try:
        element: Any = dataset.get_item(tag)
    except Exception:  # an unknown representation, say
        return None
    if element is None:
        return ""
    value = element.value if getattr(element, "is_raw", False) else None
    if not isinstance(value, bytes):
        return None
    if vr == "US":
        return str(int.from_bytes(value, "little" if element.is_little_endian else "big")) if len(value) == 2 else None
    return value.decode("ascii") if value.isascii() and b"\x1b" not in value else None


@lru_cache(maxsize=256)
def _dictionary_entry(keyword: str) -> tuple[BaseTag, str]:
    from pydicom.datadict import dictionary_VR
    from pydicom.tag import Tag

    tag = Tag(keyword)
    return tag, dictionary_VR(tag)


def text(dataset: Dataset | None, keyword: str) -> str:
    """Give the first value as a string, "" where there is none."""
    return (texts(dataset, keyword) or ("",))[0]


def numbers(dataset: Dataset | None, keyword: str, count: int) -> tuple[float, ...] | None:
    """Give exactly ``count`` finite numbers, or None."""
    try:
        found = tuple(float(item) for item in texts(dataset, keyword))
    except ValueError:
        return None
    return found if len(found) == count and all(abs(number) < 1e12 for number in found) else None


def integer(dataset: Dataset | None, keyword: str) -> int | None:
    """Give one whole number, or None."""
    found = numbers(dataset, keyword, 1)
    return None if found is None else int(found[0])


def seconds(dataset: Dataset | None, keyword: str) -> float | None:
    """Give a time that DICOM holds in ms, in s, or None."""
    found = numbers(dataset, keyword, 1)
    return None if found is None else found[0] / 1000.0


def unknown_charset(dataset: Dataset) -> bool:
    """Whether text is written in a character set that nobody here can decode."""
    from pydicom.charset import python_encoding

    return any(name not in python_encoding for name in texts(dataset, "SpecificCharacterSet"))
