# SPDX-License-Identifier: Apache-2.0
"""Sections by patient, however a name is spelt, and pairs unlike all others."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.data.patients import in_two_sections, same_person, spelling
from scripts.pairing.cohort import outliers, sections

SHARES = (0.8, 0.1, 0.1)


@pytest.mark.parametrize("name", ["P001", "p-001", "P 1", "p_01", "Ｐ００１"])
def test_spellings_of_one_patient_are_one(name: str) -> None:
    assert spelling(name) == spelling("p1")


@pytest.mark.parametrize("name", ["P010", "P0011", "Q001", "P1a", "1P"])
def test_other_patients_stay_others(name: str) -> None:
    assert spelling(name) != spelling("P001")


def test_numbers_that_stand_apart_are_not_joined() -> None:
    assert spelling("1-23") != spelling("12-3")


def test_adversarial_identifiers_never_tear_a_patient() -> None:
    names = [f"P{number:03d}" for number in range(60)] + [f"p-{number}" for number in range(60)]
    placed = sections(names, {}, {}, SHARES)
    assert all(placed[f"P{number:03d}"] == placed[f"p-{number}"] for number in range(60))
    assert not in_two_sections(placed.items())
    assert Counter(placed[f"P{number:03d}"] for number in range(60)) == {"training": 48, "validation": 6, "test": 6}
    assert len(same_person(names)) == 60


def test_sections_of_before_are_kept_when_patients_come() -> None:
    first = sections([f"a{n}" for n in range(20)], {}, {}, SHARES)
    more = sections([f"a{n}" for n in range(40)], {"a39": "test"}, first, SHARES)
    assert {name: more[name] for name in first} == first
    assert more["a39"] == "test"


def test_few_patients_still_fill_every_section() -> None:
    assert set(sections(["a", "b", "c"], {}, {}, SHARES).values()) == {"training", "validation", "test"}
    assert sections(["a"], {}, {}, SHARES) == {"a": "training"}


def test_a_pair_far_below_its_cohort_is_told_and_an_even_cohort_has_none() -> None:
    pairs = [{"plane": "sagittal", "scores": {"lift": 6 + 0.2 * (n % 5)}} for n in range(12)]
    assert outliers(pairs, -5) == {}
    low = [*pairs, {"plane": "sagittal", "scores": {"lift": 3.4}}, {"plane": "coronal", "scores": {"lift": 3.4}}]
    assert set(outliers(low, -5)) == {12}
