# SPDX-License-Identifier: Apache-2.0
"""Draws stay in their ranges, and what one section draws changes nothing in another."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.simulation.ranges import Ranges

SPEC: dict[str, Any] = {
    "fixed": 3,
    "flat": [2.0, 4.0],
    "wide": {"log": [0.01, 100.0]},
    "bell": {"normal": [10.0, 2.0]},
    "side": {"left": 3, "right": 1},
    "never": 0.0,
    "always": 1.0,
    "one": {"a": [0, 1], "b": [0, 1]},
    "two": {"a": [0, 1]},
}


def draws(name: str, count: int = 2000) -> list[float]:
    ranges = Ranges(SPEC, 1)
    return [ranges.value(name) for _ in range(count)]


def test_a_number_is_itself() -> None:
    assert set(draws("fixed", 5)) == {3.0}


def test_a_pair_is_uniform() -> None:
    found = draws("flat")
    assert 2.0 <= min(found) < 2.01 and 3.99 < max(found) <= 4.0
    assert sum(found) / len(found) == pytest.approx(3.0, abs=0.04)


def test_a_logarithmic_range_has_its_geometric_mean_in_the_middle() -> None:
    found = draws("wide")
    assert 0.01 <= min(found) and max(found) <= 100
    assert sum(value < 1 for value in found) / len(found) == pytest.approx(0.5, abs=0.04)


def test_a_normal_range_is_cut_at_two_and_a_half_deviations() -> None:
    found = draws("bell")
    assert 5.0 <= min(found) and max(found) <= 15.0
    mean = sum(found) / len(found)
    assert mean == pytest.approx(10, abs=0.15)
    assert sum((value - mean) ** 2 for value in found) / len(found) == pytest.approx(4, rel=0.1)


def test_choices_come_by_weight_and_chances_by_their_share() -> None:
    ranges = Ranges(SPEC, 2)
    assert sum(ranges.choose("side") == "left" for _ in range(1000)) / 1000 == pytest.approx(0.75, abs=0.05)
    assert not any(ranges.happens("never") for _ in range(50))
    assert all(ranges.happens("always") for _ in range(50))


def test_a_seed_is_one_series_of_draws_and_another_seed_another() -> None:
    first, again, other = (Ranges(SPEC, seed).section("one").value("a") for seed in (5, 5, 6))
    assert first == again != other


def test_sections_do_not_hear_each_other() -> None:
    whole, part = Ranges(SPEC, 3), Ranges({"two": SPEC["two"]}, 3)
    for _ in range(4):
        whole.value("flat")
        whole.section("one").value("a")
    assert whole.section("two").value("a") == part.section("two").value("a")
    assert whole.section("two").value("a") != whole.section("one").value("a")


@pytest.mark.parametrize("entry", ["much", [1, 2, 3], {"log": [1, 2], "normal": [1, 2]}, None, True])
def test_what_is_no_range_is_refused_with_its_place(entry: object) -> None:
    with pytest.raises(ValueError, match=r"/part/size is .*; need a number"):
        Ranges({"part": {"size": entry}}, 0).section("part").value("size")


def test_a_missing_entry_is_named_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="/one has no c; it has a, b"):
        Ranges(SPEC, 0).section("one").value("c")
    with pytest.raises(ValueError, match="need choices with weights"):
        Ranges(SPEC, 0).choose("flat")
