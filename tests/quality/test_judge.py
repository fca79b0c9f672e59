# SPDX-License-Identifier: Apache-2.0
"""What is said of measures inside and outside of the limits, and that the shipped limits make sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.quality.judge import Judgement, judge
from scripts.quality.limits import FILE, Limits, Range, read_limits, shipped_limits
from scripts.quality.measure import Measures

SPACING = (3.5, 0.6, 0.6)
SOUND: dict[str, dict[str, float]] = {
    "PD": {"body_mm2": 12000, "saturated": 1e-6, "snr": 140, "snr_in_body": 60, "polarity": -0.25, "void_mm2": 0},
    "PDFS": {"body_mm2": 12000, "saturated": 1e-6, "snr": 25, "snr_in_body": 25, "polarity": -0.03, "void_mm2": 0},
}


def measures(contrast: str = "PD", **changed: Any) -> Measures:
    return Measures(**({"empty_slices": 0, "ghosts": 0.001, "jumps_mm": -0.5} | SOUND[contrast] | changed))


def said(contrast: str = "PD", spacing: tuple[float, float, float] = SPACING, **changed: Any) -> Judgement:
    return judge(measures(contrast, **changed), contrast, spacing)


@pytest.mark.parametrize("contrast", ["PD", "PDFS"])
def test_a_sound_scan_passes_without_a_word_and_its_measures_are_listed(contrast: str) -> None:
    found = said(contrast)
    assert found.refusals == () and found.warnings == ()
    assert all(entry["inside"] for entry in found.measures.values())
    assert {"snr", "polarity", "void_mm2", "ghosts", "jumps_mm", "pixel_mm", "slice_mm"} <= set(found.measures)
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("contrast", "changed", "words"),
    [
        ("PD", {"body_mm2": 500.0}, "at most 500 mm2 of body"),
        ("PDFS", {"snr": 1.5}, "nothing but noise"),
        ("PD", {"snr": None, "snr_in_body": 2.0}, "nothing but noise"),
        ("PD", {"saturated": 0.3}, "30 % of the body has the largest value"),
    ],
    ids=["no body", "noise", "noise without air", "saturated"],
)
def test_what_is_refused_and_what_is_needed(contrast: str, changed: dict[str, float], words: str) -> None:
    found = said(contrast, **changed)
    assert len(found.refusals) == 1
    assert words in found.refusals[0].problem and found.refusals[0].needed
    assert not found.measures[list(changed)[-1]]["inside"]


@pytest.mark.parametrize(
    ("contrast", "changed", "words"),
    [
        ("PDFS", {"snr": 5.5}, "The scan is noisy (bright tissue is 6 times"),
        ("PD", {"snr": None, "snr_in_body": 14.0}, "The scan is noisy"),
        ("PD", {"polarity": 0.1}, "Its fat looks suppressed, as in PDFS, but it is taken for PD"),
        ("PDFS", {"polarity": -0.4}, "Its fat looks not suppressed, as in PD, but it is taken for PDFS"),
        ("PD", {"void_mm2": 5000.0}, "area without signal within the knee (5000 mm2"),
        ("PD", {"ghosts": 0.2}, "ghosts in the air beside the knee (20.0 %"),
        ("PDFS", {"jumps_mm": 2.5}, "Slices lie 2.5 mm beside their neighbours"),
        ("PD", {"saturated": 0.01}, "bright tissue is cut off"),
        ("PD", {"empty_slices": 3}, "3 of its slices show no body"),
    ],
    ids=["noise", "noise in the body", "PDFS as PD", "PD as PDFS", "metal", "ghosts", "jumps", "cut off", "empty"],
)
def test_what_is_only_warned_of(contrast: str, changed: dict[str, Any], words: str) -> None:
    found = said(contrast, **changed)
    assert found.refusals == ()
    assert len(found.warnings) == 1 and words in found.warnings[0]


def test_the_measure_in_air_is_the_better_one() -> None:
    found = said(snr=140.0, snr_in_body=2.0)
    assert found.warnings == () and "snr_in_body" not in found.measures


@pytest.mark.parametrize(
    ("spacing", "words"),
    [((3.5, 0.25, 0.25), "pixels are 0.25 mm, outside of the"), ((1.2, 0.6, 0.6), "slices lie 1.20 mm apart, outside")],
    ids=["fine pixels", "thin slices"],
)
def test_a_grid_beyond_training_is_told(spacing: tuple[float, float, float], words: str) -> None:
    found = said(spacing=spacing)
    assert len(found.warnings) == 1 and words in found.warnings[0]


def test_a_grid_that_is_doubted_anyway_is_not_told_twice() -> None:
    assert said(spacing=(3.5, 2.0, 2.0)).warnings == ()


def test_a_volume_too_small_to_measure_is_told() -> None:
    found = judge(None, "PD", SPACING)
    assert found.refusals == () and len(found.warnings) == 1 and "fewer than 64" in found.warnings[0]


def test_a_contrast_of_another_training_is_measured_but_not_judged() -> None:
    found = judge(measures(snr=0.1, polarity=1.0), "T1", SPACING)
    assert found.refusals == () and found.warnings == () and found.measures["snr"]["value"] == 0.1


def test_refused_lies_beyond_warned_in_the_shipped_limits() -> None:
    limits = shipped_limits()
    assert set(limits.warned) == set(limits.refused) == {"PD", "PDFS"}
    for contrast, refused in limits.refused.items():
        for name, end in refused.items():
            warned = limits.warned[contrast][name]
            if end.low is not None:
                assert warned.low is not None and end.low < warned.low
            if end.high is not None:
                assert warned.high is not None and warned.high < end.high
    # The two contrasts may look alike to the measure, but most scans of each lie on its own side.
    assert limits.warned["PD"]["polarity"].high is not None and limits.warned["PDFS"]["polarity"].low is not None


def test_a_range_holds_its_ends_and_is_open_without() -> None:
    assert Range(1, 2).holds(1) and Range(1, 2).holds(2) and not Range(1, 2).holds(2.1)
    assert Range().holds(1e9) and Range(low=0).holds(1e9) and not Range(low=0).holds(-1)


def test_the_shipped_limits_were_found_by_the_command() -> None:
    from scripts.calibration.limits import LEAST, REFUSED

    limits = shipped_limits()
    assert limits.found_on["knees"] >= 20 and limits.found_on["real_stacks"] >= 1
    assert limits.refused["PD"] == limits.refused["PDFS"]
    for warned in limits.warned.values():
        assert set(warned) == {*REFUSED, *LEAST, "polarity", "saturated", "empty_slices"}


def test_the_shipped_file_is_what_the_command_writes(tmp_path: Path) -> None:
    from scripts.calibration.limits import write_limits

    write_limits(shipped_limits(), tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == FILE.read_text()
    again: Limits = read_limits(tmp_path / "again.yaml")
    assert again == shipped_limits()
