# SPDX-License-Identifier: Apache-2.0
"""The rows of the scorecard: what is accepted and why, the verdict over them, and whether another card is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.scorecard.bands import AIR, FAT_TO_MUSCLE, MARROW_TO_MUSCLE

USABLE = "usable"
FINE_TUNE = "only after fine-tuning"
NOT_USABLE = "not usable"
NO_VERDICT = "no verdict"

MOST_OUT = 2
"""Rows that may miss their mark in a synthesis that fine-tuning on a site's own pairs can be hoped to mend."""

BETTER, WORSE, SAME, FINE, UNKNOWN = "better", "worse", "same", "accepted in both", "not measured in both"
_NOTICEABLE = 0.02  # difference of logarithms below which a row that is out counts as the same


@dataclass(frozen=True)
class Criterion:
    """One row.

    Args:
        key: name in the machine-readable report.
        title: name in the table.
        low: least value accepted; None for no such end.
        high: largest value accepted; None for no such end.
        why: where the ends come from.
        critical: a synthesis that misses this one misleads a reader, and is not usable whatever the others say.
    """

    key: str
    title: str
    low: float | None
    high: float | None
    why: str
    critical: bool = False

    def excess(self, value: float) -> float:
        """How far a value lies outside, as a difference of logarithms; 0 within, infinite for none or no number."""
        if math.isnan(value):
            return math.inf
        if self.low is not None and value < self.low:
            return math.log(self.low / value) if value > 0 else math.inf
        if self.high is not None and value > self.high:
            return math.log(value / self.high) if math.isfinite(value) else math.inf
        return 0.0

    @property
    def accepted(self) -> str:
        """The ends in words."""
        if self.low is None:
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"


CRITERIA = (
    Criterion("fat_to_muscle", "subcutaneous fat / muscle", *FAT_TO_MUSCLE, "eight real fat-suppressed knees"),
    Criterion(
        "marrow_to_muscle", "marrow / muscle", *MARROW_TO_MUSCLE, "eight real fat-suppressed knees", critical=True
    ),
    Criterion(
        "worst_suppression",
        "fat or marrow left brightest",
        None,
        0.30,
        "0.10 to 0.18 of fat remains behind spectral suppression; twice that is a failure that is seen",
    ),
    Criterion(
        "marrow_unevenness",
        "marrow unevenness / source",
        None,
        1.5,
        "1 is as even as the source; blotches are read as oedema",
        critical=True,
    ),
    Criterion("cartilage_to_muscle", "cartilage / muscle", 1.1, None, "brighter on every PDFS"),
    Criterion(
        "fluid_to_cartilage", "joint fluid / cartilage", 1.1, None, "fluid outlines cartilage on a PDFS", critical=True
    ),
    Criterion(
        "meniscus_to_muscle", "meniscus / muscle", None, 0.5, "T2 of 10 ms: dark on PD and PDFS; bright is a tear"
    ),
    Criterion("edge_shift", "edge shift [pixels]", None, 0.25, "a quarter of a pixel is not seen", critical=True),
    Criterion("air", "air, 99th percentile", None, AIR, "the noisiest of eight real fat-suppressed knees"),
    Criterion("flicker", "flicker between slices", None, 0.05, "steps of 5 % are hardly seen"),
    Criterion(
        "echo_disagreement",
        "disagreement of two echoes",
        None,
        0.10,
        "what T2 decay between neighbouring echoes leaves if it is handed through",
    ),
)
"""Every row. Values of 1 and 1.1, 1.5 and 0.25 are the project's marks for a first usable synthesis."""

BY_KEY: Mapping[str, Criterion] = {criterion.key: criterion for criterion in CRITERIA}


@dataclass(frozen=True)
class Row:
    """One row with its value.

    Args:
        criterion: what is asked.
        value: what was found; None if it was not measured.
        parts: the single numbers behind it.
    """

    criterion: Criterion
    value: float | None
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def within(self) -> bool | None:
        """Whether it is accepted; None if it was not measured."""
        return None if self.value is None else self.criterion.excess(self.value) == 0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        c = self.criterion
        return {
            "key": c.key,
            "title": c.title,
            "value": None if self.value is None else round(self.value, 4),
            "low": c.low,
            "high": c.high,
            "within": self.within,
            "critical": c.critical,
            "why": c.why,
            "parts": {name: round(value, 4) for name, value in self.parts.items()},
        }


@dataclass(frozen=True)
class Verdict:
    """What the rows come to.

    Args:
        word: ``USABLE``, ``FINE_TUNE``, ``NOT_USABLE`` or ``NO_VERDICT``.
        reason: one sentence.
    """

    word: str
    reason: str


def judge(rows: Sequence[Row]) -> Verdict:
    """One plain word for one stack.

    Usable: every row measured and accepted. Only after fine-tuning: at most two rows out and no critical one. Else not
    usable. Critical are the rows whose failure misleads a reader instead of annoying him: marrow that is bright or
    blotched looks like oedema, fluid that is not bright hides an effusion, and a shifted edge puts things where they
    are not. A brightness of fat, muscle or air that is off, or flicker, is seen at once and is what training on a few
    pairs of the site changes first. A row that was not measured proves nothing: it never makes a synthesis usable, and
    where only such rows stand between the card and a verdict there is none.
    """
    out = [row.criterion for row in rows if row.within is False]
    missing = [row.criterion for row in rows if row.within is None]
    critical = [c.title for c in out if c.critical]
    if critical:
        return Verdict(NOT_USABLE, f"out, and misleading: {_listed(critical)}")
    if len(out) > MOST_OUT:
        return Verdict(NOT_USABLE, f"{len(out)} rows out: {_listed([c.title for c in out])}")
    if missing:
        return Verdict(NO_VERDICT, f"not measured: {_listed([c.title for c in missing])}")
    if out:
        return Verdict(FINE_TUNE, f"out, but not misleading: {_listed([c.title for c in out])}")
    return Verdict(USABLE, "every row within what is accepted; look at the pictures all the same")


@dataclass(frozen=True)
class Change:
    """One row of two cards.

    Args:
        title: name in the table.
        before: its value in the other card.
        after: its value in this one.
        word: ``BETTER``, ``WORSE``, ``SAME``, ``FINE`` or ``UNKNOWN``.
    """

    title: str
    before: float | None
    after: float | None
    word: str


def compare(before: Mapping[str, float | None], after: Sequence[Row]) -> list[Change]:
    """Set one card beside another's values, row by row.

    Worse is farther outside what is accepted, not farther from its middle: among values that are accepted there is no
    better one. A row that was measured and no longer is counts as worse.

    Args:
        before: the other card's values by key.
        after: this card's rows.
    """
    changes = []
    for row in after:
        then = before.get(row.criterion.key)
        changes.append(Change(row.criterion.title, then, row.value, _change(row.criterion, then, row.value)))
    return changes


def _change(criterion: Criterion, before: float | None, after: float | None) -> str:
    if before is None:
        return UNKNOWN
    if after is None:
        return WORSE
    was, now = criterion.excess(before), criterion.excess(after)
    if was == now:
        return FINE if was == 0 else SAME
    if (was > 0) == (now > 0) and abs(now - was) < _NOTICEABLE:
        return SAME
    return WORSE if now > was else BETTER


def _listed(titles: Sequence[str]) -> str:
    return ", ".join(titles)
