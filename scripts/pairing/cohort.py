# SPDX-License-Identifier: Apache-2.0
"""What only all pairs together tell: a pair unlike the others of its plane, and who belongs to which section."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.data.pairs import SECTIONS
from scripts.data.patients import spelling

_FEWEST = 8  # pairs of a plane: fewer have no spread
_SPREAD = 0.08  # of the median: a cohort that is very even still has this much
_SCORES = ("lift",)


def outliers(pairs: Sequence[Mapping[str, Any]], limit: float) -> dict[int, str]:
    """Pairs whose likeness is far below that of the other pairs of their plane.

    Args:
        pairs: with ``plane`` and ``scores``.
        limit: robust z (distance from the median over 1.48 times the median distance) below which a pair is one.

    Returns:
        From place in ``pairs`` to a sentence.
    """
    found: dict[int, str] = {}
    planes = defaultdict(list)
    for place, pair in enumerate(pairs):
        planes[pair["plane"]].append(place)
    for places in planes.values():
        if len(places) < _FEWEST:
            continue
        for name in _SCORES:
            values = np.array([pairs[place]["scores"][name] for place in places])
            middle = float(np.median(values))
            spread = max(1.48 * float(np.median(np.abs(values - middle))), _SPREAD * abs(middle))
            for place, value in zip(places, values, strict=True):
                z = (value - middle) / spread
                if z < limit:
                    found[place] = (
                        f"its {name} of {value:.1f} is far below the {middle:.1f} of other pairs of its plane"
                    )
    return found


def sections(
    patients: Sequence[str], wanted: Mapping[str, str], before: Mapping[str, str], shares: Sequence[float]
) -> dict[str, str]:
    """The section of each patient: by a hash of the name as it is however it is spelt, never two for one.

    Args:
        patients: keys, in any order.
        wanted: sections that a list names, by patient.
        before: sections of an earlier manifest, by patient: they are kept, so that nobody who was trained on is tested.
        shares: of the sections.
    """
    people = sorted({spelling(name) for name in patients}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    fixed = {spelling(name): section for name, section in {**before, **wanted}.items() if section}
    counts = {section: sum(fixed.get(person) == section for person in people) for section in SECTIONS}
    goals = dict(zip(SECTIONS, _whole(shares, len(people)), strict=True))
    placed = {}
    for person in people:
        section = fixed.get(person)
        if section is None:
            open_ = [name for name in SECTIONS if counts[name] < goals[name]]
            section = open_[0] if open_ else SECTIONS[0]
            counts[section] += 1
        placed[person] = section
    return {name: placed[spelling(name)] for name in patients}


def _whole(shares: Sequence[float], people: int) -> list[int]:
    """How many people each section gets; one at least where there are enough of them."""
    total = sum(shares)
    counts = [round(share / total * people) for share in shares]
    if people >= len(shares):
        counts = [max(count, 1) if share > 0 else 0 for count, share in zip(counts, shares, strict=True)]
    counts[0] = people - sum(counts[1:])
    return counts
