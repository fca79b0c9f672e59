# SPDX-License-Identifier: Apache-2.0
"""The rule of the verdict, and when another card is worse."""

from __future__ import annotations

import json
import math

import pytest

from scripts.scorecard.rows import (
    BETTER,
    BY_KEY,
    CRITERIA,
    FINE,
    FINE_TUNE,
    NO_VERDICT,
    NOT_USABLE,
    SAME,
    UNKNOWN,
    USABLE,
    WORSE,
    Row,
    compare,
    judge,
)

GOOD = {
    "fat_to_muscle": 0.5,
    "marrow_to_muscle": 0.3,
    "worst_suppression": 0.15,
    "marrow_unevenness": 1.1,
    "cartilage_to_muscle": 1.4,
    "fluid_to_cartilage": 1.8,
    "meniscus_to_muscle": 0.2,
    "edge_shift": 0.1,
    "air": 0.05,
    "flicker": 0.01,
    "echo_disagreement": 0.05,
}


def _rows(**values: float | None) -> list[Row]:
    return [Row(criterion, {**GOOD, **values}[criterion.key]) for criterion in CRITERIA]


def test_every_criterion_has_an_end_and_a_reason() -> None:
    assert len(BY_KEY) == len(CRITERIA) == len(GOOD)
    for criterion in CRITERIA:
        assert criterion.why and (criterion.low is not None or criterion.high is not None)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, USABLE),
        ({"air": 0.2}, FINE_TUNE),
        ({"air": 0.2, "fat_to_muscle": 1.2}, FINE_TUNE),
        ({"air": 0.2, "fat_to_muscle": 1.2, "flicker": 0.1}, NOT_USABLE),
        ({"marrow_to_muscle": 0.6}, NOT_USABLE),
        ({"marrow_to_muscle": 0.1}, NOT_USABLE),
        ({"marrow_unevenness": 1.6}, NOT_USABLE),
        ({"fluid_to_cartilage": 1.0}, NOT_USABLE),
        ({"edge_shift": 0.3}, NOT_USABLE),
        ({"edge_shift": math.nan}, NOT_USABLE),
        ({"fluid_to_cartilage": None}, NO_VERDICT),
        ({"air": 0.2, "echo_disagreement": None}, NO_VERDICT),
        ({"edge_shift": 0.3, "fluid_to_cartilage": None}, NOT_USABLE),
        ({"air": 0.2, "flicker": 0.1, "cartilage_to_muscle": 1.0, "fluid_to_cartilage": None}, NOT_USABLE),
    ],
    ids=str,
)
def test_the_rule(values: dict[str, float | None], word: str) -> None:
    verdict = judge(_rows(**values))
    assert verdict.word == word
    for key, value in values.items():
        if word != NOT_USABLE and value != GOOD[key] and (value is None) == (word == NO_VERDICT):
            assert BY_KEY[key].title in verdict.reason


@pytest.mark.parametrize(
    ("key", "before", "after", "word"),
    [
        ("marrow_unevenness", 1.0, 1.4, FINE),
        ("marrow_unevenness", 1.4, 1.6, WORSE),
        ("marrow_unevenness", 1.6, 1.4, BETTER),
        ("marrow_unevenness", 3.0, 2.0, BETTER),
        ("marrow_unevenness", 2.0, 3.0, WORSE),
        ("marrow_unevenness", 2.0, 2.01, SAME),
        ("fat_to_muscle", 1.2, 0.2, WORSE),
        ("fat_to_muscle", 1.2, 0.5, BETTER),
        ("fluid_to_cartilage", 0.9, 0.0, WORSE),
        ("air", 0.1, None, WORSE),
        ("air", None, 0.1, UNKNOWN),
    ],
)
def test_worse_is_farther_out(key: str, before: float | None, after: float | None, word: str) -> None:
    changes = {change.title: change for change in compare({key: before}, _rows(**{key: after}))}
    assert changes[BY_KEY[key].title].word == word
    assert {change.word for title, change in changes.items() if title != BY_KEY[key].title} == {UNKNOWN}


def test_rows_are_plain_json() -> None:
    rows = [row.as_dict() for row in _rows(air=None)]
    assert json.loads(json.dumps(rows)) == rows
    assert {row["key"]: row["within"] for row in rows}["air"] is None
