# SPDX-License-Identifier: Apache-2.0
"""Cross-validation: each patient is in the test section of exactly one fold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from scripts.errors import UsageError


def in_hash_order(patients: Iterable[str]) -> list[str]:
    """Each patient once, in an order that has nothing to do with their names and never changes."""
    return sorted(set(patients), key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def fold_sections(patients: Iterable[str], fold: Sequence[int], validation: float = 0.125) -> dict[str, str]:
    """The section of every patient in one fold.

    Args:
        patients: their names; what is left out or repeated does not matter.
        fold: which one, from 1, of how many, at least 2.
        validation: share of the patients that are not tested on to validate on, at least one patient.

    Returns:
        ``training``, ``validation`` or ``test`` by patient.

    Raises:
        UsageError: no such fold, or too few patients for each section of each fold.
    """
    if len(fold) != 2 or not 1 <= fold[0] <= fold[1] or fold[1] < 2:
        raise UsageError(f"fold {list(fold)}; need [which, of how many], such as [1, 5]; correct it")
    which, folds = fold
    order = in_hash_order(patients)
    if len(order) < max(folds, 3):
        raise UsageError(
            f"{len(order)} patients for {folds} folds; need at least {max(folds, 3)}; add patients or take fewer folds"
        )
    tested = set(order[which - 1 :: folds])
    rest = [patient for patient in order if patient not in tested]
    held_back = set(rest[: max(1, round(validation * len(rest)))])
    return {
        patient: "test" if patient in tested else "validation" if patient in held_back else "training"
        for patient in order
    }
