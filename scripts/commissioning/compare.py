# SPDX-License-Identifier: Apache-2.0
"""What moved since an earlier commissioning: after an upgrade of program, weights, scanner or protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.commissioning.judge import MEASURES, SMALLER_IS_BETTER, estimate, per_patient
from scripts.commissioning.record import Record

BETTER, WORSE, SAME = "better", "worse", "same"
_FEWEST = 3
"""Patients in common below which pairing them says nothing."""


@dataclass(frozen=True)
class Moved:
    """One measure, before and now.

    Attributes:
        direction: of the synthesis.
        measure: what was measured.
        before: mean over patients then.
        now: mean over patients now.
        change: mean change, of the same patients where there are enough, else of the groups.
        low: of its 95 % interval.
        high: of it.
        patients: in common; 0 where the groups are compared.
        judgement: `BETTER`, `WORSE`, or `SAME` where the interval holds 0.
    """

    direction: str
    measure: str
    before: float
    now: float
    change: float
    low: float
    high: float
    patients: int
    judgement: str


def moved(before: Record, now: Record) -> list[Moved]:
    """Every measure that both have, in the order of the report.

    Patients who are in both are compared one by one: the difference between patients is larger than any upgrade's.
    """
    found = []
    for direction in dict.fromkeys(one.direction for one in now.scored):
        for measure in MEASURES:
            old, new = (per_patient(record.scored, direction, measure) for record in (before, now))
            if len(old) < 2 or len(new) < 2:
                continue
            common = sorted(old.keys() & new.keys())
            means = estimate(list(old.values())).mean, estimate(list(new.values())).mean
            if len(common) >= _FEWEST:
                change = estimate([new[patient] - old[patient] for patient in common])
                low, high = change.low, change.high
            else:
                common, change = [], estimate([means[1] - means[0]])
                low, high = _apart(list(old.values()), list(new.values()))
            found.append(
                Moved(direction, measure, *means, change.mean, low, high, len(common), _judgement(measure, low, high))
            )
    return found


def _apart(old: list[float], new: list[float]) -> tuple[float, float]:
    """Interval of the difference of two groups' means: their own intervals' half widths, added in squares."""
    first, second = estimate(old), estimate(new)
    middle = second.mean - first.mean
    below = ((second.mean - second.low) ** 2 + (first.high - first.mean) ** 2) ** 0.5
    above = ((second.high - second.mean) ** 2 + (first.mean - first.low) ** 2) ** 0.5
    return middle - below, middle + above


def _judgement(measure: str, low: float, high: float) -> str:
    if low <= 0 <= high:
        return SAME
    return BETTER if (low > 0) != (measure in SMALLER_IS_BETTER) else WORSE


def changed_software(before: Record, now: Record) -> list[tuple[str, str, str]]:
    """Name, former and present value of whatever differs in program, weights, packages and machine."""
    old, new = dict(leaves_of(before.software)), dict(leaves_of(now.software))
    return [(name, old.get(name, "-"), new.get(name, "-")) for name in {**old, **new} if old.get(name) != new.get(name)]


def changed_verdict(before: Record, now: Record) -> str:
    """One sentence: what became of the verdict, and what moved for the worse."""
    worse = [one for one in moved(before, now) if one.judgement == WORSE]
    verdict = f"{before.verdict} on {before.date}, {now.verdict} now" if before.verdict != now.verdict else now.verdict
    told = ", ".join(f"{MEASURES[one.measure]}, {one.direction} ({one.change:+.3g})" for one in worse)
    return f"Verdict: {verdict}. " + (
        f"Worse than on {before.date}: {told}." if worse else "Nothing moved for the worse."
    )


def leaves_of(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value of nested mappings by its dotted name, as text."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves_of(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, str(value)
