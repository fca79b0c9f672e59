# SPDX-License-Identifier: Apache-2.0
"""The rules that limits follow from, the table, and the false warnings of the shipped limits on knees never seen."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.calibration.limits import BEYOND, find_limits, write_limits
from scripts.calibration.measured import CHECK, LIMITS, Measured, Task, measure_task, read_measured, write_measured
from scripts.calibration.scans import GHOSTS, JUMPS, NOISE, disturbed_scans, sound_scans
from scripts.calibration.table import OTHER, as_markdown, put_into, table_lines, write_table
from scripts.quality.judge import judge
from scripts.quality.limits import read_limits
from scripts.quality.measure import Measures
from scripts.synthesis.bundle import default_root

TRAIN = default_root() / "configs" / "train.yaml"
SPACING = (3.5, 0.6, 0.6)


def row(number: int, contrast: str = "PD", artefact: str = "none", part: str = LIMITS, **changed: float) -> Measured:
    side = -1 if contrast == "PD" else 1
    sound = Measures(
        body_mm2=10000 + 100 * number,
        empty_slices=0,
        saturated=1e-6,
        snr=100 + 10 * number,
        snr_in_body=50 + number,
        polarity=side * (0.2 + 0.01 * number),
        void_mm2=10.0 * number,
        ghosts=0.001 * number,
        jumps_mm=-0.5,
    )
    return Measured(part, str(number), "sagittal", contrast, artefact, 0.0, replace(sound, **changed))


ROWS = [row(n, contrast) for contrast in ("PD", "PDFS") for n in range(11)]
TRAINED = [replace(one, artefact="training") for one in ROWS]


def test_limits_lie_beyond_every_sound_scan_and_refusals_at_a_share_of_what_was_trained() -> None:
    limits = find_limits([*ROWS, *TRAINED, row(3, artefact="training", snr=60.0)], TRAIN)
    assert limits.warned["PD"]["snr"].low == pytest.approx(60 * (60 / 150) ** BEYOND, abs=1.1)
    assert limits.refused["PD"]["snr"].low == pytest.approx(30)
    # Training may have artefacts; what is an artefact is told by the sound scans alone.
    assert find_limits([*ROWS, *TRAINED, row(3, artefact="training", void_mm2=9e3)], TRAIN).warned == (
        find_limits([*ROWS, *TRAINED], TRAIN).warned
    )
    assert limits.warned["PD"]["polarity"].high is not None and limits.warned["PD"]["polarity"].low is None
    end = 0.2 - BEYOND * 0.05
    assert -end <= limits.warned["PD"]["polarity"].high < -end + 0.01
    assert end - 0.01 < (limits.warned["PDFS"]["polarity"].low or 0) <= end
    for one in ROWS:
        found = judge(one.measures, one.contrast, SPACING, limits)
        assert found.refusals == () and found.warnings == ()


def test_limits_are_read_as_they_were_written(tmp_path: Path) -> None:
    limits = find_limits([*ROWS, *TRAINED], TRAIN)
    write_limits(limits, tmp_path / "ranges.yaml")
    assert read_limits(tmp_path / "ranges.yaml") == limits


def test_trained_pixels_are_those_of_the_config(tmp_path: Path) -> None:
    """A training that magnifies twice as much sees pixels of half the size."""
    text = TRAIN.read_text().replace("zoom: [0.8, 1.25]", "zoom: [0.8, 2.5]")
    (tmp_path / "train.yaml").write_text(text)
    usual, magnified = (find_limits([*ROWS, *TRAINED], path).trained for path in (TRAIN, tmp_path / "train.yaml"))
    assert usual["pixel_mm"].low == pytest.approx(120 / 256 / 1.25, abs=0.01)
    assert magnified["pixel_mm"].low == pytest.approx(120 / 256 / 2.5, abs=0.01)
    assert usual["slice_mm"].low == 2.0 and usual["slice_mm"].high == 7.0


def test_the_table_counts_what_is_warned_of(tmp_path: Path) -> None:
    limits = find_limits([*ROWS, *TRAINED], TRAIN)
    tried = [row(1, part=CHECK), row(2, part=CHECK), row(4, "PDFS", part=CHECK)]
    tried += [row(1, artefact="jumps", part=CHECK, jumps_mm=2.0), row(2, artefact="jumps", part=CHECK)]
    lines = {(one.contrast, one.artefact): one for one in table_lines([*ROWS, *tried], limits)}
    assert lines["PD", "none"].scans == 2 and lines["PD", "none"].warned == 0
    assert lines["PD", "jumps"].warned == 0.5 and lines["PD", "jumps"].by == (0, 0, 0, 0, 0.5)
    assert lines["PD", OTHER].scans == 1 and lines["PD", OTHER].by[1] == 1
    assert lines["PDFS", OTHER].scans == 2 and lines["PDFS", OTHER].by[1] == 1
    write_table(lines.values(), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        told = list(csv.DictReader(file))
    assert [float(line["warned"]) for line in told if line["artefact"] == "jumps"] == [0.5]
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- gate -->\nold\n<!-- /gate -->\nafter\n")
    put_into(page, as_markdown(list(lines.values())))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| PD | jumps, every other slice 0 mm off | 2 | 0 % | 50 % | 0 % | 0 % | 0 % | 0 % | 50 % |" in text


def test_measures_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [row(1), row(2, "PDFS", snr=None, ghosts=None)]  # type: ignore[arg-type]
    write_measured(rows[:1], tmp_path / "measures.csv")
    write_measured(rows[1:], tmp_path / "measures.csv", append=True)
    again = read_measured(tmp_path / "measures.csv")
    for before, after in zip(rows, again, strict=True):
        assert replace(after, measures=before.measures) == before
        assert after.measures.as_dict() == before.measures.as_dict()


def test_artefacts_are_those_of_one_knee() -> None:
    """Each grade differs from the sound scan, more so the higher it is, and by nothing else than its artefact."""
    shape = (6, 64, 64)
    sound = {one.contrast: one for one in sound_scans(7_500_000, "sagittal", shape) if one.artefact == "none"}
    found = list(disturbed_scans(7_500_000, "sagittal", shape))
    assert {(one.artefact, one.grade) for one in found} >= {
        *(("noise", grade) for grade in NOISE),
        *(("ghosts", grade) for grade in GHOSTS),
        *(("jumps", grade) for grade in JUMPS),
        ("titanium", 9.0),
        ("cobalt-chromium", 9.0),
    }
    for contrast, plain in sound.items():
        for artefact in ("noise", "ghosts", "jumps"):
            some = [one for one in found if one.artefact == artefact and one.contrast == contrast]
            some.sort(key=lambda one: one.grade, reverse=artefact == "noise")
            changes = [float((one.volume - plain.volume).square().mean()) for one in some]
            assert changes == sorted(changes) and changes[0] > 0
        jumping = next(one for one in found if one.artefact == "jumps" and one.contrast == contrast)
        assert bool((jumping.volume[::2] == plain.volume[::2]).all())


@pytest.mark.slow
@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_sound_knees_that_no_limit_has_seen_are_seldom_warned_of(plane: str) -> None:
    """The table says how seldom, on more knees; here one of six scans may be warned of, and none is refused."""
    rows = [one for n in range(3) for one in measure_task(Task(CHECK, "sound", 7_600_000 + n, plane))]
    judged = [judge(one.measures, one.contrast, SPACING) for one in rows]
    assert len(rows) >= 6 and not any(one.refusals for one in judged)
    assert sum(bool(one.warnings) for one in judged) <= 1, [one.warnings for one in judged]


@pytest.mark.slow
def test_strong_artefacts_of_a_knee_that_no_limit_has_seen_are_found() -> None:
    rows = measure_task(Task(CHECK, "disturbed", 7_600_000, "sagittal"))
    judged = {(one.artefact, one.grade, one.contrast): judge(one.measures, one.contrast, SPACING) for one in rows}
    for contrast in ("PD", "PDFS"):
        assert any("beside their neighbours" in line for line in judged["jumps", 4.0, contrast].warnings)
        loud = judged["noise", 1.5, contrast]
        assert loud.refusals or any("noisy" in line for line in loud.warnings)
