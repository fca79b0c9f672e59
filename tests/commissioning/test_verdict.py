# SPDX-License-Identifier: Apache-2.0
"""Limits, verdict, record and comparison, on scores that are handed over."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from scripts.commissioning.compare import BETTER, SAME, WORSE, changed_software, changed_verdict, moved
from scripts.commissioning.judge import MEASURES, judge, per_patient, read_limits
from scripts.commissioning.record import FAIL, NO_VERDICT, PASS, REPORT, Record, Scored, read_record, write_record
from scripts.errors import UsageError

DIRECTION = "PD to PDFS"
SOUND = {"psnr": 24.0, "over_copy": 9.0, "over_histogram_match": 5.0, "over_intensity_mapping": 1.0}
SOUND |= {"flicker": 0.02, "fat_error": 0.1}


def scores(patients: int = 12, spread: float = 1.0, **changed: float) -> list[Scored]:
    """Patients around some means; the spread is the same for each measure, so that changes are paired."""
    means = SOUND | changed
    return [
        Scored(
            f"P{number}",
            f"P{number}-1",
            DIRECTION,
            {k: v + spread * (number % 3 - 1) * abs(v) / 20 for k, v in means.items()},
        )
        for number in range(patients)
    ]


def record(scored: list[Scored], verdict: str = PASS, date: str = "2030-01-01", **software: str) -> Record:
    judged, *_ = judge(scored, read_limits(), 0.0, 0.1)
    return Record(
        date, {"version": "1", "packages": {"torch": "2"}} | software, {"pairs": 12}, tuple(scored), judged, verdict, ""
    )


def test_sound_exams_pass_and_each_limit_is_told() -> None:
    judged, verdict, sentence = judge(scores(), read_limits(), 0.1, 0.1)
    assert verdict == PASS and "12 patients" in sentence
    assert {one.measure for one in judged} == {"refused", "warned", *read_limits().measures}
    assert all(one.passed for one in judged)
    gain = next(one for one in judged if one.measure == "over_copy")
    assert gain.low < gain.value < gain.high


@pytest.mark.parametrize("measure", list(read_limits().measures))
def test_a_missed_limit_fails_and_is_named(measure: str) -> None:
    low, _ = read_limits().measures[measure]
    value = -1.0 if low is not None else 1.0
    judged, verdict, sentence = judge(scores(**{measure: value}), read_limits(), 0.1, 0.1)
    assert verdict == FAIL and MEASURES[measure] in sentence and sentence.startswith("1 of ")
    assert [one.measure for one in judged if not one.passed] == [measure]


@pytest.mark.parametrize(("refused", "warned"), [(0.5, 0.0), (0.0, 0.5)])
def test_exams_that_do_not_fit_fail(refused: float, warned: float) -> None:
    assert judge(scores(), read_limits(), refused, warned)[1] == FAIL


def test_what_could_not_be_measured_does_not_pass() -> None:
    left = [
        dataclasses.replace(one, measures={k: v for k, v in one.measures.items() if k != "fat_error"})
        for one in scores()
    ]
    _, verdict, sentence = judge(left, read_limits(), 0.0, 0.0)
    assert verdict == FAIL and "not measured" in sentence


def test_few_patients_give_no_verdict_however_many_pairs_they_have() -> None:
    many = [dataclasses.replace(one, patient="P0" if number % 2 else "P1") for number, one in enumerate(scores(40))]
    assert judge(many, read_limits(), 0.0, 0.0)[1] == NO_VERDICT
    assert set(per_patient(many, DIRECTION, "psnr")) == {"P0", "P1"}


@pytest.mark.parametrize(
    "text",
    ["", "patients: 3", "patients: 3\nrefused: 1\nwarned: 1\nmeasures: {beauty: [1, 2]}", "measures: [", "a: {b: 1}"],
)
def test_what_is_no_file_of_limits_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"limits\.yaml"):
        read_limits(tmp_path / "limits.yaml")


def test_a_record_comes_back(tmp_path: Path) -> None:
    before = record(scores())
    write_record(before, tmp_path / REPORT)
    back = read_record(tmp_path / REPORT)
    assert back.verdict == PASS and back.scored[3].patient == "P3"
    assert back.scored[3].measures == pytest.approx(before.scored[3].measures, rel=1e-4)
    assert [one.limit for one in back.judged] == [one.limit for one in before.judged]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"kind": "commissioning", "version": 2}', '{"kind": "commissioning", "version": 1}']
)
def test_what_is_no_record_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / REPORT).write_text(text)
    with pytest.raises(UsageError, match="need"):
        read_record(tmp_path / REPORT)


def test_an_upgrade_that_moves_things_is_named_by_what_moved() -> None:
    before = record(scores(psnr=24.0, flicker=0.02))
    now = record(scores(psnr=23.5, flicker=0.01), date="2031-01-01", version="2")
    by_name = {one.measure: one for one in moved(before, now)}
    assert by_name["psnr"].judgement == WORSE and by_name["psnr"].change == pytest.approx(-0.5)
    assert by_name["flicker"].judgement == BETTER and by_name["over_copy"].judgement == SAME
    assert by_name["psnr"].patients == 12
    assert changed_software(before, now) == [("version", "1", "2")]
    assert "PSNR [dB], PD to PDFS (-0.5)" in changed_verdict(before, now) and "flicker" not in changed_verdict(
        before, now
    )


def test_the_same_patients_show_what_other_patients_would_hide() -> None:
    before, now = scores(psnr=24.0, spread=3), scores(psnr=23.7, spread=3)
    strangers = [dataclasses.replace(one, patient=f"Q{one.patient}") for one in now]
    paired = next(one for one in moved(record(before), record(now)) if one.measure == "psnr")
    apart = next(one for one in moved(record(before), record(strangers)) if one.measure == "psnr")
    assert (paired.judgement, apart.judgement) == (WORSE, SAME) and apart.patients == 0
    assert apart.change == pytest.approx(paired.change, abs=0.05)


def test_the_report_is_plain_json(tmp_path: Path) -> None:
    write_record(record([dataclasses.replace(scores()[0], measures={"psnr": float("inf")})]), tmp_path / REPORT)
    content = json.loads((tmp_path / REPORT).read_text(), parse_constant=lambda word: pytest.fail(word))
    assert content["scored"][0]["measures"]["psnr"] is None
