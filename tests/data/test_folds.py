# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter

import pytest

from scripts.data.folds import fold_sections
from scripts.errors import UsageError

PATIENTS = [f"P{number:03d}" for number in range(23)]


@pytest.mark.parametrize("folds", [2, 5, 23])
def test_each_patient_is_tested_on_once_and_in_one_section_of_each_fold(folds: int) -> None:
    sections = [fold_sections(PATIENTS * 2, [which, folds]) for which in range(1, folds + 1)]
    tested = Counter(patient for one in sections for patient, section in one.items() if section == "test")
    assert tested == Counter(PATIENTS)
    for one in sections:
        assert set(one) == set(PATIENTS) and set(one.values()) == {"training", "validation", "test"}
    sizes = [list(one.values()).count("test") for one in sections]
    assert max(sizes) - min(sizes) <= 1


def test_folds_do_not_depend_on_the_order_of_the_patients() -> None:
    assert fold_sections(PATIENTS, [2, 5]) == fold_sections(PATIENTS[::-1], [2, 5])


@pytest.mark.parametrize(
    ("patients", "fold"), [(23, [0, 5]), (23, [6, 5]), (23, [1, 1]), (23, [1]), (4, [1, 5]), (2, [1, 2])]
)
def test_what_is_no_fold_is_refused(patients: int, fold: list[int]) -> None:
    with pytest.raises(UsageError, match="need"):
        fold_sections(PATIENTS[:patients], fold)
