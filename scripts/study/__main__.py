# SPDX-License-Identifier: Apache-2.0
"""Run a study: train its cells, measure them, write the table and the figures. Resumable: what is done stays done."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from scripts.study.baselines import FITS, TISSUE_GAINS, TISSUE_MEANS
from scripts.study.grid import read_grid
from scripts.study.knees import LESIONS, held_out_knees, lesion_twins
from scripts.study.measure_cell import measure_baseline_once, measure_cell
from scripts.study.results import publish, write_results
from scripts.study.train_cell import train_cell

logger = logging.getLogger("scripts.study")


def study(
    grid: Annotated[str, typer.Argument(help="Name of a grid of scripts/study/grids, or a YAML file.")] = "cpu",
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder of the study.")] = Path("outputs/study"),
    cache_dir: Annotated[Path, typer.Option(help="Where simulated knees are kept.")] = Path(".cache"),
    rows: Annotated[list[str] | None, typer.Option("--row", help="Only this row; may be given again.")] = None,
    publish_in: Annotated[
        Path | None, typer.Option("--publish", help="Only write what is done so far into the pages of this folder.")
    ] = None,
) -> None:
    """Train and measure every cell of a grid, beside the baselines; then write the table and the figures."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s")
    plan, cache = read_grid(grid), cache_dir.resolve()
    if publish_in is not None:
        publish(plan, out, publish_in)
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
    write_results(plan, out, out / "results")


if __name__ == "__main__":
    typer.run(study)
