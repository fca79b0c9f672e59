# SPDX-License-Identifier: Apache-2.0
"""What a clinic of a hundred studies holds, and how far patients move in it."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from scripts.clinic.kinds import patient_of
from scripts.clinic.plan import KINDS, WORDS, plan_clinic


def test_a_hundred_studies_hold_what_is_planted() -> None:
    cases = plan_clinic(100, 1)
    assert [case.number for case in cases] == list(range(1, 101))
    assert Counter(case.group for case in cases) == {"true": 45, "none": 20, "false": 30, "part": 4, "damaged": 1}
    assert Counter(case.kind for case in cases) == {kind: n for kinds in KINDS.values() for kind, n in kinds.items()}
    assert {case.kind for case in cases} == set(WORDS)


@pytest.mark.parametrize("studies", [1, 7, 10, 33, 250])
def test_other_numbers_keep_the_shares_and_the_pairs_of_exams(studies: int) -> None:
    cases = plan_clinic(studies, 1)
    groups, kinds = (Counter(getattr(case, name) for case in cases) for name in ("group", "kind"))
    assert len(cases) == studies
    assert abs(groups["false"] - 0.3 * studies) <= 1 and abs(groups["none"] - 0.2 * studies) <= 1
    assert groups["damaged"] >= (studies >= 10)
    assert kinds["two_spellings"] % 2 == kinds["two_exams"] % 2 == 0


def test_a_plan_repeats_itself_and_another_seed_shares_no_knee_with_it() -> None:
    one, other = plan_clinic(100, 1), plan_clinic(100, 2)
    assert one == plan_clinic(100, 1)
    knees = [{seed for case in plan for seed in (case.seed, case.foreign_seed)} for plan in (one, other)]
    assert len(knees[0]) == len(knees[1]) == 200
    assert not knees[0] & knees[1]


def test_patients_move_up_to_the_limits_and_not_beyond() -> None:
    moves = [case.moved for seed in range(20) for case in plan_clinic(100, seed)]
    lengths = [math.hypot(one.rows, one.columns) for one in moves]
    assert max(lengths) == pytest.approx(8.0)
    assert max(abs(one.slices) for one in moves) == 2.0
    assert max(abs(one.angle) for one in moves) == pytest.approx(math.radians(2))
    still = [case for case in plan_clinic(100, 1) if case.kind in ("plain", "reversed", "descriptions", "pd_only")]
    assert all(math.hypot(case.moved.rows, case.moved.slices, case.moved.angle) == 0 for case in still)


def test_two_exams_of_a_patient_share_the_knee_and_one_spelling_or_two() -> None:
    cases = plan_clinic(100, 1)
    for kind, spellings in (("two_exams", 1), ("two_spellings", 2)):
        one, two = (case for case in cases if case.kind == kind)
        assert one.person_seed == two.person_seed and one.seed != two.seed
        assert len({patient_of(case)["PatientID"] for case in (one, two)}) == spellings
    others = [patient_of(case)["PatientID"] for case in cases if not case.kind.startswith("two_")]
    assert len(set(others)) == len(others)
    assert all(patient_of(case)["PatientID"].startswith("SIMULATED-") for case in cases)


def test_a_clinic_that_cannot_be_is_refused() -> None:
    for studies, seed in ((0, 1), (5001, 1), (10, -1)):
        with pytest.raises(ValueError, match="cannot be"):
            plan_clinic(studies, seed)
