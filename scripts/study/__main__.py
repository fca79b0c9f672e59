# SPDX-License-Identifier: Apache-2.0
"""Run a study: train its cells, measure them, write the table and the figures. Resumable: what is done stays done."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from scripts.handlers.files import write_text_atomically
from scripts.study.baselines import FITS, TISSUE_GAINS, TISSUE_MEANS
from scripts.study.figures import draw_cross_curves, draw_quality
from scripts.study.grid import Grid, read_grid
from scripts.study.knees import LESIONS, held_out_knees, lesion_twins
from scripts.study.measure_cell import measure_baseline_once, measure_cell
from scripts.study.page import cost_table, quality_tables
from scripts.study.table import Line, RowCost, study_costs, study_lines, write_csv
from scripts.study.train_cell import train_cell

logger = logging.getLogger("scripts.study")


def study(
    grid: Annotated[str, typer.Argument(help="Name of a grid of scripts/study/grids, or a YAML file.")] = "cpu",
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder of the study.")] = Path("outputs/study"),
    cache_dir: Annotated[Path, typer.Option(help="Where simulated knees are kept.")] = Path(".cache"),
    rows: Annotated[list[str] | None, typer.Option("--row", help="Only this row; may be given again.")] = None,
    table: Annotated[bool, typer.Option("--table", help="Only write the table of what is done.")] = False,
) -> None:
    """Train and measure every cell of a grid, beside the baselines; then write the table and the figures."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s")
    plan, cache = read_grid(grid), cache_dir.resolve()
    if table:
        write_results(plan, out)
        return
    knees = held_out_knees(plan.knees, plan.shape, cache)
    twins = [pair for kind in LESIONS for pair in lesion_twins(kind, plan.lesions, plan.shape, cache)]
    for name in (*FITS, TISSUE_GAINS, TISSUE_MEANS):
        measure_baseline_once(name, out / "baselines" / name.replace(" ", "_"), knees, twins)
    cells = [cell for cell in plan.cells if not rows or cell.name in rows]
    for number, cell in enumerate(cells, 1):
        started, folder = time.monotonic(), out / "cells" / cell.key
        trained = train_cell(cell, folder, str(cache))
        halfway = time.monotonic()
        measure_cell(folder, Path(trained["run"]), knees, twins)
        spent = halfway - started, time.monotonic() - halfway
        logger.info("cell %d of %d, %s: trained %.0f s, measured %.0f s", number, len(cells), cell.key, *spent)
    write_results(plan, out)


def write_results(grid: Grid, out: Path) -> None:
    """Write ``table.csv``, ``costs.csv``, ``tables.md`` and the figures of what is there into ``results``."""
    results = out / "results"
    lines, costs = study_lines(grid, out), study_costs(grid, out)
    write_text_atomically(results / "table.csv", write_csv(lines, Line))
    write_text_atomically(results / "costs.csv", write_csv(costs, RowCost))
    write_text_atomically(results / "tables.md", quality_tables(lines, grid.default) + "\n" + cost_table(costs, grid))
    rows = list(dict.fromkeys(cell.name for cell in grid.cells if not cell.name.startswith("zero_skip_")))
    draw_cross_curves(grid, out, rows, results / "cross.png")
    draw_quality(lines, costs, rows, results / "leakage.png", results / "compute.png")


if __name__ == "__main__":
    typer.run(study)
