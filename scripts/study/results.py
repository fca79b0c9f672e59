# SPDX-License-Identifier: Apache-2.0
"""What a study leaves behind: CSV files and figures, and the tables in the pages that tell of it."""

from __future__ import annotations

import re
from pathlib import Path

from scripts.errors import UsageError
from scripts.handlers.files import write_text_atomically
from scripts.study.curves import Epoch, read_epochs
from scripts.study.figures import draw_cross_curves, draw_quality
from scripts.study.grid import Grid
from scripts.study.page import cost_table, curve_table, quality_table, stability_table
from scripts.study.table import Line, RowCost, read_csv, study_costs, study_lines, write_csv

TABLE, COSTS, CURVES = "table.csv", "costs.csv", "curves.csv"
_PLACE = re.compile(r"<!-- study: (?P<what>[^>]*?) -->\n(?P<table>.*?)<!-- /study -->", re.DOTALL)


def write_results(grid: Grid, out: Path, results: Path) -> None:
    """Write the tables of what is measured so far, and the figures.

    Args:
        grid: of the study.
        out: its folder.
        results: where to write.
    """
    epochs = read_epochs(grid, out)
    lines, costs = study_lines(grid, out), study_costs(grid, out, epochs)
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
            direction, ``stability`` and a direction, ``curves`` or ``costs``.
        results: folder of the CSV files.
        grid: of the study.

    Raises:
        UsageError: for a place that asks for something else.
    """
    lines = read_csv(results / TABLE, Line)

    def table(what: str) -> str:
        kind, _, direction = what.partition(" ")
        if kind == "quality" and direction:
            return quality_table(lines, direction, grid.default)
        if kind == "stability" and direction:
            return stability_table(lines, direction)
        if what == "curves":
            return curve_table(read_csv(results / CURVES, Epoch))
        if what == "costs":
            return cost_table(read_csv(results / COSTS, RowCost), grid)
        raise UsageError(f"no table {what!r}; need quality or stability and a direction, curves, or costs.")

    return _PLACE.sub(lambda place: f"<!-- study: {place['what']} -->\n{table(place['what'])}<!-- /study -->", page)


def publish(grid: Grid, out: Path, docs: Path) -> None:
    """Write the results beside the pages in ``docs``, under ``study``, and the tables into the pages."""
    write_results(grid, out, docs / "study")
    for path in sorted(docs.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        filled = fill_page(text, docs / "study", grid)
        if filled != text:
            write_text_atomically(path, filled)
