# SPDX-License-Identifier: Apache-2.0
"""A record goes through JSON and comes back equal, or says what is wrong with it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest

from scripts.simulation.records import as_plain, from_plain


@dataclass(frozen=True)
class Inner:
    value: float
    names: tuple[str, ...]


@dataclass(frozen=True)
class Other:
    count: int


@dataclass(frozen=True)
class Outer:
    pair: tuple[float, int]
    inner: Inner | Other
    maybe: Inner | None
    flag: bool
    table: dict[str, Inner]


RECORD = Outer((math.pi / 7, 3), Inner(1e-17, ("a", "b")), None, True, {"x": Inner(2.0, ())})


def plain() -> dict[str, object]:
    return json.loads(json.dumps(as_plain(RECORD)))


def test_a_record_survives_json_to_the_last_bit() -> None:
    assert from_plain(Outer, plain()) == RECORD


@pytest.mark.parametrize("inner", [Inner(0.5, ("c",)), Other(4)])
def test_a_field_of_several_classes_comes_back_as_what_it_was(inner: Inner | Other) -> None:
    record = Outer((0.0, 0), inner, Inner(1.0, ()), False, {})
    assert from_plain(Outer, json.loads(json.dumps(as_plain(record)))) == record


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"flag": 1}, r"Outer.flag is 1; need true or false"),
        ({"pair": [1.0]}, r"Outer.pair is \[1.0\]; need 2 values"),
        ({"pair": [1.0, 2.5]}, r"Outer.pair\[1\] is 2.5; need a whole number"),
        ({"inner": {"kind": "Stranger"}}, r"Outer.inner is a 'Stranger'; need one of Inner, Other"),
        ({"extra": 1}, r"Outer has no extra; it has"),
        ({"table": {"x": {"value": "high", "names": []}}}, r"Outer.table.x.value is 'high'; need a number"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        from_plain(Outer, plain() | change)


def test_a_missing_value_is_named() -> None:
    content = plain()
    del content["flag"]
    with pytest.raises(ValueError, match="Outer lacks flag"):
        from_plain(Outer, content)


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="need numbers"):
        as_plain({"x": {1, 2}})
