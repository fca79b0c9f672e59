# SPDX-License-Identifier: Apache-2.0
"""The summary picture: both series in the fixed windows, what is said beside them, and whom it names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scripts.report import summary
from scripts.report.page import Pane, Report
from scripts.report.summary import MOST_WARNINGS, WIDTH, draw_summary

FACTS = {"Model": "a model 1.0, weights 0123456789ab", "Date": "2030-01-02"}


@pytest.fixture
def report() -> Report:
    values = {"PD": 0.5, "PDFS": 0.8}
    panes = [
        Pane(name, name, np.full((3, 40, 60), value, np.float32), name == "PDFS") for name, value in values.items()
    ]
    return Report(
        title="PDFS synthesised from PD",
        panes=tuple(panes),
        spacing_mm=(0.5, 0.4),
        positions_mm=(0.0, 3.0, 6.0),
        plane="sagittal",
        edges={"left": "A", "right": "P", "top": "H", "bottom": "F"},
        target="PDFS",
        warnings=(),
        facts={},
    )


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line that is written."""
    from PIL.ImageDraw import ImageDraw

    lines: list[str] = []
    real = ImageDraw.text

    def record(self: ImageDraw, place: object, words: str, **how: object) -> None:
        lines.append(words)
        real(self, place, words, **how)

    monkeypatch.setattr(ImageDraw, "text", record)
    return lines


def test_both_slices_stand_side_by_side_in_their_window(report: Report) -> None:
    picture = draw_summary(report, FACTS)
    assert picture.dtype == np.uint8 and picture.shape[1] == WIDTH
    source, synthesis = picture[:, : WIDTH // 2] == 128, picture[:, WIDTH // 2 :] == 204  # .5 and .8 of 255
    for found in (source, synthesis):
        rows, columns = (found.sum(axis=axis) > 100 for axis in (1, 0))  # letters have that grey here and there
        assert found.sum() > 100_000
        shown = columns.sum() / rows.sum()
        assert shown == pytest.approx((60 * 0.4) / (40 * 0.5), rel=0.02), "pixels are not square"


def test_it_says_what_it_is(report: Report, said: list[str]) -> None:
    draw_summary(replace(report, warnings=("Forced although it is a shoulder.",)), FACTS)
    words = " ".join(said)
    for sentence in (
        "SYNTHETIC PDFS: computed, not acquired",
        "Research use only. Not for diagnosis.",
        "a normal-looking synthetic PDFS does not exclude it.",
        "Forced although it is a shoulder.",
        "a model 1.0, weights 0123456789ab",
        "2030-01-02",
        "slice 2 of 3",
    ):
        assert sentence in words
    said.clear()
    panes = (replace(report.panes[0], contrast="PDFS"), replace(report.panes[1], contrast="PD"))
    draw_summary(replace(report, target="PD", panes=panes), FACTS)
    assert "oedema" not in " ".join(said)


def test_identifiers_are_there_when_asked_for(report: Report, said: list[str]) -> None:
    plain = draw_summary(report, FACTS)
    assert "Name" not in said
    named = draw_summary(report, FACTS, {"Name": "Müller, Jörg"})
    assert "Müller, Jörg" in said
    assert len(named) > len(plain)


def test_the_same_report_is_the_same_picture(report: Report) -> None:
    one, other = draw_summary(report, FACTS), draw_summary(report, FACTS)
    np.testing.assert_array_equal(one, other)


def test_an_acquired_target_is_the_third(report: Report, said: list[str]) -> None:
    acquired = Pane("PDFS acquired", "PDFS", np.full((3, 40, 60), 0.3, np.float32), False)
    picture = draw_summary(replace(report, panes=(*report.panes, acquired)), FACTS)
    assert "PDFS acquired" in said and (picture == 76).sum() > 50_000


def test_long_words_and_many_warnings_stay_on_the_sheet(report: Report, said: list[str]) -> None:
    warnings = ("x" * 300, *(f"warning {number}" for number in range(20)))
    picture = draw_summary(replace(report, warnings=warnings), FACTS)
    assert picture[:, -10:].max() == 0 and picture[-5:].max() == 0
    assert sum(line.count("x") for line in said if set(line) == {"x"}) == 300
    assert f"{21 - MOST_WARNINGS} more in report.html" in said and "warning 19" not in said


def test_names_of_many_alphabets_have_their_letters() -> None:
    font = summary._font(18, False)
    nothing = bytes(font.getmask("\U0010fffd"))
    for letter in "üøŁŞñčΕИ":
        assert bytes(font.getmask(letter)) != nothing
    assert bytes(font.getmask("山")) == nothing  # which shows that the comparison tells
