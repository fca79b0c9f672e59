# SPDX-License-Identifier: Apache-2.0
"""Which headers belong to one stack, and which splits of a series betray a broken one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scripts.dicom.geometry import ORIENTATION_TOLERANCE, normal_of
from scripts.dicom.headers import Header

ECHO_TOLERANCE = 5e-5
"""Seconds: echo times of one stack may be rounded differently, echoes lie milliseconds apart."""

SPACING_TOLERANCE = 1e-3
"""Relative difference of PixelSpacing within a stack."""

STRAY_SLICES = 5
STRAY_ANGLE = np.deg2rad(20)
"""Fewer slices than this, tilted by less than this against the rest of their series, are strays and not a scout."""


def group_headers(headers: Iterable[Header]) -> list[list[list[Header]]]:
    """Sort headers into series, and each series into stacks.

    Returns:
        Per series (by series number, then UID) its groups (by echo, then size). Nothing depends on file names or on the
        order of reading; within a group headers stand by SOPInstanceUID.
    """
    series: dict[str, list[Header]] = {}
    for header in sorted(headers, key=lambda h: (h.sop_instance_uid, str(h.path))):
        series.setdefault(header.series_instance_uid, []).append(header)
    ordered = sorted(series.values(), key=lambda members: (members[0].series_number, members[0].series_instance_uid))
    return [_split(members) for members in ordered]


def _split(members: list[Header]) -> list[list[Header]]:
    groups: list[list[Header]] = []
    for header in members:
        for group in groups:
            if _belongs(header, group[0]):
                group.append(header)
                break
        else:
            groups.append([header])
    return sorted(groups, key=_group_order)


def _group_order(group: list[Header]) -> tuple[float, int, int, tuple[str, ...], tuple[float, ...], str]:
    first = group[0]
    echo_time = first.facts.echo_time or 0.0
    orientation = first.orientation or ()
    return echo_time, first.echo_number or 0, -len(group), first.facts.image_type, orientation, first.sop_instance_uid


def _belongs(one: Header, other: Header) -> bool:
    return (
        not one.enhanced
        and not other.enhanced
        and one.modality == other.modality
        and one.sop_class_uid == other.sop_class_uid
        and one.facts.image_type == other.facts.image_type
        and one.echo_number == other.echo_number
        and _near(one.facts.echo_time, other.facts.echo_time, ECHO_TOLERANCE)
        and _same_matrix(one, other)
        and _parallel(one.orientation, other.orientation)
    )


def _near(one: float | None, other: float | None, tolerance: float) -> bool:
    return one is other if one is None or other is None else abs(one - other) <= tolerance


def _same_matrix(one: Header, other: Header) -> bool:
    if (one.rows, one.columns) != (other.rows, other.columns):
        return False
    if one.pixel_spacing is None or other.pixel_spacing is None:
        return one.pixel_spacing is other.pixel_spacing
    return bool(np.allclose(one.pixel_spacing, other.pixel_spacing, rtol=SPACING_TOLERANCE, atol=0.0))


def _parallel(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.abs(np.subtract(one, other)).max() <= ORIENTATION_TOLERANCE)


def contradictions(groups: list[list[Header]]) -> list[str]:
    """Say for each group of one series whether it is torn from, or has lost slices to, another one.

    A series may rightly hold several stacks: echoes, scout planes, magnitude and phase. It may not hold slices of one
    acquisition (same timing and kind) with different matrices, and no few slices that are merely tilted or lack a
    position: there the stack is broken, and what remains must not pass for whole.
    """
    blemishes = [""] * len(groups)
    for i, one in enumerate(groups):
        for j, other in enumerate(groups[:i]):
            blemish = _blemish(one, other)
            if blemish:
                blemishes[i] = blemishes[i] or blemish
                blemishes[j] = blemishes[j] or blemish
    return blemishes


def _blemish(one: list[Header], other: list[Header]) -> str:
    a, b = one[0], other[0]
    if not _one_acquisition(a, b):
        return ""
    fewer, more = sorted((len(one), len(other)))
    if a.orientation is None or b.orientation is None or a.position is None or b.position is None:
        return f"{fewer} of {fewer + more} slices of the series have no position; a volume needs all"
    cosine = float(np.clip(abs(normal_of(a.orientation) @ normal_of(b.orientation)), 0.0, 1.0))
    if np.arccos(cosine) > STRAY_ANGLE:
        return ""
    if not _same_matrix(a, b):
        return (
            f"mixed matrix or pixel size: {len(other)} slices of {b.rows} x {b.columns} pixels and {len(one)} of "
            f"{a.rows} x {a.columns} in one series"
        )
    if fewer < STRAY_SLICES and not _parallel(a.orientation, b.orientation):
        return (
            f"{fewer} of {fewer + more} slices of the series are tilted by {np.rad2deg(np.arccos(cosine)):.1f} degrees"
        )
    if fewer < STRAY_SLICES and (a.facts.echo_time is None) != (b.facts.echo_time is None):
        return f"{fewer} of {fewer + more} slices of the series do not give their echo time as the others do"
    return ""


def _one_acquisition(a: Header, b: Header) -> bool:
    """Whether two groups look like parts of one stack: images of the same kind with the same timing."""
    echo_a, echo_b = a.facts.echo_time, b.facts.echo_time
    return (
        a.modality == b.modality == "MR"
        and not a.enhanced
        and not b.enhanced
        and a.facts.image_type == b.facts.image_type
        and "LOCALIZER" not in a.facts.image_type
        and _near(a.facts.repetition_time, b.facts.repetition_time, 0.01)
        and (echo_a is None or echo_b is None or _near(echo_a, echo_b, ECHO_TOLERANCE))
        and a.echo_number == b.echo_number
    )
