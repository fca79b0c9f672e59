# SPDX-License-Identifier: Apache-2.0
"""One person under two spellings is noticed; two persons with like names are not."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.checking.findings import exit_code
from scripts.checking.judge import judge_patients
from scripts.checking.pair import Pair
from scripts.data.patients import same_knee_or_visit, same_person


@pytest.mark.parametrize(
    ("one", "other"),
    [("P-001", "p1"), ("KNEE_07", "knee 7"), ("Müller", "muller"), ("doe^jane", "Jane_Doe"), ("P0O1", "p001"),
     ("subl2", "sub12"), ("ID.12.3", "id-12-03"), ("ＡＢ９", "ab9")],
)  # fmt: skip
def test_two_spellings_are_one_person(one: str, other: str) -> None:
    assert same_person([one, other, "quite-else"]) == [tuple(sorted((one, other)))]


@pytest.mark.parametrize("names", [("1-11", "11-1"), ("p1", "p11"), ("knee_a", "knee_b"), ("site1-2", "site2-1")])
def test_two_persons_are_two(names: tuple[str, str]) -> None:
    assert same_person(names) == [] and same_knee_or_visit(names) == []


@pytest.mark.parametrize(("one", "other"), [("p7_L", "p7_R"), ("p7-left", "P07 right"), ("s3_v1", "s3_v2"),
                                            ("12_baseline", "12_followup")])  # fmt: skip
def test_sides_and_visits_are_one_person(one: str, other: str) -> None:
    assert same_knee_or_visit([one, other, "p8_L"]) == [tuple(sorted((one, other)))]


def pair(patient: str, section: str) -> Pair:
    return Pair(patient, patient, section)


def codes(*pairs: Pair) -> set[str]:
    return {finding.kind.code for finding in judge_patients(pairs)}


def test_what_leaks_between_sections_has_to_be_fixed() -> None:
    whole = (pair("a", "training"), pair("b", "validation"), pair("c", "test"))
    assert codes(*whole) == set()
    assert codes(*whole, pair("a", "test")) == {"two_sections"}
    assert codes(*whole, pair("p-01", "training"), pair("P1", "test")) == {"two_spellings"}
    assert codes(*whole, pair("p-01", "training"), pair("P1", "training")) == {"one_person"}
    assert codes(*whole, pair("p1_L", "training"), pair("p1_R", "validation")) == {"sides"}
    assert codes(*whole, pair("p1_L", "training"), pair("p1_R", "training")) == set()
    assert exit_code(judge_patients([*whole, pair("a", "test")])) == 6
    assert exit_code(judge_patients([*whole, pair("p1_L", "training"), pair("p1_R", "test")])) == 0


def test_a_section_without_patients() -> None:
    assert codes(pair("a", "training")) == {"empty_section", "no_test"}
    assert np.array_equal(codes(pair("a", "training"), pair("b", "validation")), {"no_test"})
