# SPDX-License-Identifier: Apache-2.0
"""Which studies a simulated clinic holds: kinds in fixed shares, and by how much patients moved between two scans."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

KINDS: Mapping[str, Mapping[str, int]] = {
    "true": {
        "plain": 4,
        "moved_in_plane": 7,
        "moved_through": 4,
        "moved_and_turned": 4,
        "planned_elsewhere": 5,
        "new_frame": 3,
        "reversed": 3,
        "other_grid": 4,
        "other_count": 3,
        "descriptions": 4,
        "two_spellings": 2,
        "two_exams": 2,
    },
    "none": {"pd_only": 8, "pdfs_only": 5, "pd_and_t2": 7},
    "false": {
        "foreign_same_frame": 8,
        "foreign_own_frame": 6,
        "other_plane": 5,
        "other_side": 4,
        "t2_as_pdfs": 4,
        "pd_as_pdfs": 3,
    },
    "part": {"other_part": 4},
    "damaged": {"corrupt_file": 1},
}
"""Kinds of study by group, and how many of each among a hundred."""
WORDS: Mapping[str, str] = {
    "plain": "PD and PDFS on one grid, nothing moved",
    "moved_in_plane": "the knee moved within the slice, headers do not tell",
    "moved_through": "the knee moved along the slice normal, headers do not tell",
    "moved_and_turned": "the knee moved and turned, headers do not tell",
    "planned_elsewhere": "PDFS planned at another place and turn; its headers are right",
    "new_frame": "the patient was laid down anew: another frame of reference, another place",
    "reversed": "PDFS stored in reverse order",
    "other_grid": "PDFS with another matrix and field of view",
    "other_count": "PDFS with another number of slices",
    "descriptions": "series descriptions wrong, missing or in other languages",
    "two_spellings": "one patient, two exams under two spellings",
    "two_exams": "one patient, two exams under one ID",
    "pd_only": "PD without PDFS",
    "pdfs_only": "PDFS without PD",
    "pd_and_t2": "PD and a T2 that is named as such",
    "foreign_same_frame": "PDFS of another knee, with this study's frame and positions",
    "foreign_own_frame": "PDFS of another knee with its own frame",
    "other_plane": "PDFS of another plane only",
    "other_side": "PDFS of the other knee",
    "t2_as_pdfs": "a T2 without fat suppression named PDFS",
    "pd_as_pdfs": "a second PD named PDFS",
    "other_part": "PD and PDFS of another body part",
    "corrupt_file": "one file of PDFS is cut off",
}
FARTHEST_PIXELS, FARTHEST_SLICES, LARGEST_TURN = 8.0, 2.0, math.radians(2)
"""How far a patient moves at most: pixels of a matrix of 256, slices, radians."""
MOST_STUDIES = 5000
_FEWEST_WITH_DAMAGE = 10
_FIRST_SEED = 900_000_000_000
"""Of the knees of clinics: no cohort, benchmark or test set reaches these."""
_SEEDS = 2 * MOST_STUDIES


@dataclass(frozen=True)
class Displacement:
    """By how much the knee moved, or a stack was planned elsewhere.

    Args:
        rows: towards higher rows [pixels of a matrix of 256].
        columns: towards higher columns [the same].
        slices: along the slices [distances between slices].
        angle: about the slice normal, from columns to rows [rad].
    """

    rows: float = 0.0
    columns: float = 0.0
    slices: float = 0.0
    angle: float = 0.0


@dataclass(frozen=True)
class Case:
    """One planned study.

    Args:
        number: from 1; names its folder.
        group: see `KINDS`.
        kind: see `KINDS`.
        variant: number among the studies of its kind, from 0.
        person: number of the patient; two studies may share it.
        exam: 0, or 1 for the second study of a patient.
        seed: of the simulation of this exam.
        person_seed: of the knee.
        moved: between PD and PDFS.
    """

    number: int
    group: str
    kind: str
    variant: int
    person: int
    exam: int
    seed: int
    person_seed: int
    moved: Displacement

    @property
    def folder(self) -> str:
        """Name of its folder; it does not tell the kind."""
        return f"study-{self.number:03d}"

    @property
    def foreign_seed(self) -> int:
        """Of a knee that is not this patient's."""
        return self.seed + MOST_STUDIES


def plan_clinic(studies: int, seed: int) -> list[Case]:
    """Plan the studies of a clinic; the same arguments give the same plan everywhere.

    Args:
        studies: 1 to `MOST_STUDIES`; kinds keep their shares to rounding.
        seed: of order, knees and displacements; clinics of two seeds share no knee.

    Raises:
        ValueError: for a number of studies or a seed out of range.
    """
    if not 1 <= studies <= MOST_STUDIES or not 0 <= seed < 100_000_000:
        raise ValueError(f"A clinic of {studies} studies with seed {seed} cannot be; need 1 to {MOST_STUDIES}, seed 0+")
    kinds = [(group, kind, variant) for group, kind, count in _counts(studies) for variant in range(count)]
    order = list(range(1, studies + 1))
    random.Random(f"order of clinic {seed}").shuffle(order)
    numbers = {(kind, variant): number for (_, kind, variant), number in zip(kinds, order, strict=True)}
    cases = []
    for group, kind, variant in kinds:
        number = numbers[kind, variant]
        exam = variant % 2 if kind in ("two_spellings", "two_exams") else 0
        person = numbers[kind, variant - exam]
        first = _FIRST_SEED + seed * _SEEDS
        moved = _displacement(kind, variant, random.Random(f"clinic {seed}, {kind} {variant}"))
        cases.append(Case(number, group, kind, variant, person, exam, first + number, first + person, moved))
    return sorted(cases, key=lambda case: case.number)


def _counts(studies: int) -> list[tuple[str, str, int]]:
    groups = {group: sum(kinds.values()) for group, kinds in KINDS.items()}
    numbers, counts = _shared(studies, groups), []
    if studies >= _FEWEST_WITH_DAMAGE and not numbers["damaged"]:
        numbers["damaged"], numbers["true"] = 1, numbers["true"] - 1
    for group, number in numbers.items():
        shared = _shared(number, KINDS[group])
        for kind in ("two_spellings", "two_exams"):  # they come in twos
            if shared.get(kind, 0) % 2:
                shared[kind] -= 1
                shared["plain"] += 1
        counts += [(group, kind, count) for kind, count in shared.items()]
    return counts


def _shared(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Share a number out by weights: the largest remainders are rounded up."""
    exact = {name: total * weight / sum(weights.values()) for name, weight in weights.items()}
    counts = {name: math.floor(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _displacement(kind: str, variant: int, draw: random.Random) -> Displacement:
    """Draw one; the first of a kind goes to the limit."""
    length = FARTHEST_PIXELS if variant == 0 else draw.uniform(2.0, FARTHEST_PIXELS)
    direction = draw.uniform(0, 2 * math.pi)
    slices = (FARTHEST_SLICES if variant == 0 else draw.uniform(0.5, FARTHEST_SLICES)) * draw.choice((-1, 1))
    angle = (LARGEST_TURN if variant == 0 else draw.uniform(0.2, 1.0) * LARGEST_TURN) * draw.choice((-1, 1))
    rows, columns = length * math.sin(direction), length * math.cos(direction)
    if kind == "moved_in_plane":
        return Displacement(rows, columns)
    if kind == "moved_through":
        return Displacement(rows / 4, columns / 4, slices)
    if kind in ("moved_and_turned", "planned_elsewhere", "new_frame"):
        return Displacement(rows, columns, slices, angle)
    if kind in ("other_grid", "other_count") and variant % 2:
        return Displacement(rows / 2, columns / 2)
    return Displacement()
