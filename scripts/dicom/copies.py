# SPDX-License-Identifier: Apache-2.0
"""Files that are there twice: one of several copies counts, two objects of one name are an error."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from scripts.dicom.headers import Header


def without_copies(group: Sequence[Header]) -> tuple[list[Header], str]:
    """Keep one of several headers with one SOPInstanceUID if their files hold the same object.

    Returns:
        The headers that count, and what is wrong with the others, or "".
    """
    kept: dict[tuple[str, int], Header] = {}
    clash = ""
    result = []
    for header in group:
        name = (header.sop_instance_uid, header.frame)
        other = kept.setdefault(name, header) if header.sop_instance_uid else header
        if other is header:
            result.append(header)
        elif not _same_object(header.path, other.path):
            clash = "duplicate place: two files share one SOPInstanceUID and differ"
            result.append(header)
    return result, clash


@lru_cache(maxsize=8)  # each frame of two Enhanced files asks the same
def _same_object(one: Path, other: Path) -> bool:
    if filecmp.cmp(one, other, shallow=False):
        return True
    import pydicom

    from scripts.dicom.values import quiet

    with quiet():
        try:  # the same object may have been stored twice with another preamble or meta group
            return bool(pydicom.dcmread(one, force=True) == pydicom.dcmread(other, force=True))
        except Exception:  # a damaged twin is not a copy
            return False
