# SPDX-License-Identifier: Apache-2.0
"""Run a study: train its cells, measure them, write the table and the figures. Resumable: what is done stays done."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from scripts.study.grid import read_grid
from scripts.study.train_cell import train_cell

logger = logging.getLogger("scripts.study")


def study(
    grid: Annotated[str, typer.Argument(help="Name of a grid of scripts/study/grids, or a YAML file.")] = "cpu",
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder of the study.")] = Path("outputs/study"),
    cache_dir: Annotated[Path, typer.Option(help="Where simulated cohorts are kept.")] = Path(".cache"),
    rows: Annotated[list[str] | None, typer.Option("--row", help="Only this row; may be given again.")] = None,
) -> None:
    """Train every cell of a grid."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s")
    cells = [cell for cell in read_grid(grid) if not rows or cell.name in rows]
    for number, cell in enumerate(cells, 1):
        started = time.monotonic()
        train_cell(cell, out / "cells" / cell.key, str(cache_dir.resolve()))
        logger.info("cell %d of %d, %s: %.0f s", number, len(cells), cell.key, time.monotonic() - started)


if __name__ == "__main__":
    typer.run(study)
