# SPDX-License-Identifier: Apache-2.0
"""What a study leaves behind: CSV files and figures, and the tables in the pages that tell of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from scripts.errors import UsageError
from scripts.handlers.files import write_text_atomically
from scripts.study.curves import Epoch, read_epochs
from scripts.study.detection import Detected, Recovered, Seen, detected, recovered
from scripts.study.figures import draw_cross_curves, draw_detection, draw_quality
from scripts.study.foreseen import Foreseen
from scripts.study.grid import Grid
from scripts.study.measure import MeasuredLesion
from scripts.study.page import (
    cost_table,
    curve_table,
    detection_table,
    quality_table,
    recovery_table,
    stability_table,
)
from scripts.study.patients import PATIENTS, Learned, joined
from scripts.study.patients_page import draw_patients, patients_table
from scripts.study.rows import read_csv, write_csv
from scripts.study.table import Line, RowCost, study_costs, study_lines
from scripts.study.timing import read_timings

TABLE, COSTS, CURVES = "table.csv", "costs.csv", "curves.csv"
FORESEEN = "foreseen.csv"
LESIONS, DETECTED, RECOVERED, WEIGHTS = "lesions.csv", "detected.csv", "recovered.csv", "weights.sha256"
_PLACE = re.compile(r"<!-- study: (?P<what>[^>]*?) -->\n(?P<table>.*?)<!-- /study -->", re.DOTALL)


def write_results(grid: Grid, out: Path, results: Path) -> None:
    """Write the tables of what is measured so far, and the figures.

    Args:
        grid: of the study.
        out: its folder.
        results: where to write.
    """
    epochs = read_epochs(grid, out)
    lines, costs = study_lines(grid, out), study_costs(grid, out, read_timings(out))
    write_text_atomically(results / TABLE, write_csv(lines, Line))
    write_text_atomically(results / COSTS, write_csv(costs, RowCost))
    write_text_atomically(results / CURVES, write_csv(epochs, Epoch))
    rows = [row for row in dict.fromkeys(cell.name for cell in grid.cells) if not row.startswith("zero_skip_")]
    draw_cross_curves(epochs, results / "cross.png")
    draw_quality(lines, costs, rows, results / "leakage.png", results / "compute.png")


def fill_page(page: str, results: Path, grid: Grid) -> str:
    """A page with its tables as the study's CSV files have them.

    Args:
        page: Markdown with places ``<!-- study: WHAT -->`` to ``<!-- /study -->``, WHAT being ``quality`` and a
            direction, ``stability`` and a direction, ``curves``, ``costs``, ``detected``, ``recovered``,
            ``patients`` and a reference.
        results: folder of the CSV files.
        grid: of the study.

    Raises:
        UsageError: for a place that asks for something else.
    """

    def table(what: str) -> str:
        kind, _, direction = what.partition(" ")
        if kind == "quality" and direction:
            return quality_table(read_csv(results / TABLE, Line), direction, grid.default)
        if kind == "stability" and direction:
            return stability_table(read_csv(results / TABLE, Line), direction)
        if what == "curves":
            return curve_table(read_csv(results / CURVES, Epoch))
        if what == "costs":
            return cost_table(read_csv(results / COSTS, RowCost), grid)
        if what == "detected":
            return detection_table(read_csv(results / DETECTED, Detected))
        if what == "recovered":
            foretold = read_csv(results / FORESEEN, Foreseen) if (results / FORESEEN).is_file() else []
            return recovery_table(read_csv(results / RECOVERED, Recovered), foretold)
        if what.startswith("patients "):
            return patients_table(read_csv(results / PATIENTS, Learned), what.split()[1])
        names = "quality or stability and a direction, curves, costs, detected, recovered, or patients and a reference"
        raise UsageError(f"no table {what!r}; need {names}.")

    return _PLACE.sub(lambda place: f"<!-- study: {place['what']} -->\n{table(place['what'])}<!-- /study -->", page)


def write_detection(seen: Sequence[Seen], weights: str, out: Path) -> None:
    """Write what was found of lesions: how well they are told, the contrast they are given, and a figure.

    Args:
        seen: all pairs.
        weights: hash of the weights.
        out: where to write.
    """
    told = detected(seen)
    lesions = [one.lesion for one in seen]
    write_text_atomically(out / LESIONS, write_csv(lesions, MeasuredLesion))
    write_text_atomically(out / DETECTED, write_csv(told, Detected))
    write_text_atomically(out / RECOVERED, write_csv(recovered(lesions), Recovered))
    write_text_atomically(out / WEIGHTS, f"{weights}\n")
    draw_detection(told, out / "observer.png")


def publish(grid: Grid, out: Path, looked: Path, learned: Path, docs: Path) -> None:
    """Write the results beside the pages in ``docs``, under ``study``, and the tables into the pages.

    Args:
        grid: of the study.
        out: folder of the study; left out where it has no cells.
        looked: folder of `write_detection` and of `FORESEEN`; what is not there is left as it is.
        learned: folder of `scripts.study.patients`; left out where it is not there. What the pages have of other sizes
            stays, as long as it is compared with the same shipped weights.
        docs: folder of the pages.
    """
    if (out / "cells").is_dir():
        write_results(grid, out, docs / "study")
    for name in (LESIONS, DETECTED, RECOVERED, WEIGHTS, "observer.png", FORESEEN):
        if (looked / name).is_file():
            shutil.copyfile(looked / name, docs / "study" / name)
    if (learned / PATIENTS).is_file():
        kept = docs / "study" / PATIENTS
        lines = joined(read_csv(kept, Learned) if kept.is_file() else [], read_csv(learned / PATIENTS, Learned))
        write_text_atomically(kept, write_csv(lines, Learned))
        draw_patients(lines, docs / "study" / "patients.png")
    for path in sorted(docs.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        filled = fill_page(text, docs / "study", grid)
        if filled != text:
            write_text_atomically(path, filled)
