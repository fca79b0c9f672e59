# SPDX-License-Identifier: Apache-2.0
"""Which headers belong to one stack, and which splits of a series betray a broken one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np

from scripts.dicom.geometry import ORIENTATION_TOLERANCE, normal_of
from scripts.dicom.headers import Header

ECHO_TOLERANCE = 5e-5
"""Seconds: echo times of one stack may be rounded differently, echoes lie milliseconds apart."""

SPACING_TOLERANCE = 1e-3
"""Relative difference of PixelSpacing within a stack."""

MOST_STACKS = 100
"""A series of more is a rotating view or no series at all; to compare each with each would take for ever."""

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
    for header in sorted(headers, key=lambda h: (h.sop_instance_uid, h.frame, str(h.path))):
        series.setdefault(header.series_instance_uid, []).append(header)
    ordered = sorted(series.values(), key=lambda members: (members[0].series_number, members[0].series_instance_uid))
    return [_split(members) for members in ordered]


def _split(members: list[Header]) -> list[list[Header]]:
    """Sort the headers of a series into stacks; a header joins the first stack whose first one it is like."""
    groups: list[list[Header]] = []
    alike: dict[Hashable, tuple[list[list[Header]], np.ndarray]] = {}
    for header in members:
        key, numbers = _exact(header), _within_tolerance(header)
        found, firsts = alike.get(key, ([], np.empty((0, len(numbers)))))
        near = np.flatnonzero(np.abs(firsts - numbers).max(axis=1, initial=0.0) <= 1.0)
        if near.size:
            found[near[0]].append(header)
        else:
            groups.append([header])
            alike[key] = ([*found, groups[-1]], np.vstack([firsts, numbers]))
    return sorted(groups, key=_group_order)


def _exact(header: Header) -> Hashable:
    """What the images of one stack have in common to the letter."""
    absent = (header.facts.echo_time is None, header.pixel_spacing is None, header.orientation is None)
    kind = (header.modality, header.sop_class_uid, header.facts.image_type, header.echo_number)
    # Multi-frame files that could not be taken apart do not join each other, nor do frames of different files.
    alone = (header.whole, header.part, str(header.path) if header.enhanced and not header.frame else "")
    return kind, header.rows, header.columns, absent, alone


def _within_tolerance(header: Header) -> np.ndarray:
    """What may differ within a stack, in units of the tolerance."""
    spacing = np.log(np.maximum(header.pixel_spacing or (1.0, 1.0), 1e-6)) / SPACING_TOLERANCE
    orientation = np.array(header.orientation or (0.0,) * 6) / ORIENTATION_TOLERANCE
    return np.concatenate([[(header.facts.echo_time or 0.0) / ECHO_TOLERANCE], spacing, orientation])


def _group_order(group: list[Header]) -> tuple[float, int, int, tuple[str, ...], tuple[float, ...], str]:
    first = group[0]
    echo_time = first.facts.echo_time or 0.0
    orientation = first.orientation or ()
    return echo_time, first.echo_number or 0, -len(group), first.facts.image_type, orientation, first.sop_instance_uid


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
    if len(groups) > MOST_STACKS:
        return [f"the series falls into {len(groups)} planes or kinds of image; no stack of it can be told"] * len(
            groups
        )
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
            f"{a.rows} x {a.columns} in one series ({_names(min(one, other, key=len))})"
        )
    if fewer < STRAY_SLICES and not _parallel(a.orientation, b.orientation):
        return (
            f"{fewer} of {fewer + more} slices of the series are tilted by {np.rad2deg(np.arccos(cosine)):.1f} degrees "
            f"({_names(min(one, other, key=len))})"
        )
    if fewer < STRAY_SLICES and (a.facts.echo_time is None) != (b.facts.echo_time is None):
        return f"{fewer} of {fewer + more} slices of the series do not give their echo time as the others do"
    return ""


def _names(group: list[Header]) -> str:
    """Name up to three files, without their folders."""
    names = sorted(header.path.name for header in group)
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


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
