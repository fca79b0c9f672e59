# SPDX-License-Identifier: Apache-2.0
"""The training curves of all cells: how content, recon and cross fell, epoch by epoch of equal arithmetic."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from scripts.study.grid import Grid
from scripts.study.train_cell import RUN, TRAINED


@dataclass(frozen=True)
class Epoch:
    """The losses of one epoch of one cell.

    Args:
        row: of the grid.
        seed: of the cell.
        epoch: from 1; each is the same share of the cell's budget.
        content: difference of the codes; not a number where there is no code.
        recon: of the same-domain paths; not a number where there are none.
        cross: of the cross-domain paths.
        squared: whether small differences counted squared in recon and cross: another scale than absolute ones.
    """

    row: str
    seed: int
    epoch: int
    content: float
    recon: float
    cross: float
    squared: bool


def read_epochs(grid: Grid, out: Path) -> list[Epoch]:
    """All epochs of the cells that are trained, row by row.

    Args:
        grid: of the study.
        out: its folder.
    """
    found = []
    for row in dict.fromkeys(cell.name for cell in grid.cells):
        for cell in (cell for cell in grid.cells if cell.name == row):
            folder = out / "cells" / cell.key
            path = folder / RUN / "curves.csv"
            if not path.is_file() or not (folder / TRAINED).is_file():
                continue
            squared = cell.settings.get("squared_below") != 0
            with path.open(encoding="utf-8", newline="") as stream:
                for line in csv.DictReader(stream):
                    losses = [float(line.get(term) or "nan") for term in ("content", "recon", "cross")]
                    # A network without a code or same-domain paths logs zeros for them.
                    content, recon, cross = (value if value else math.nan for value in losses)
                    found.append(Epoch(row, cell.seed, int(line["epoch"]), content, recon, cross, squared))
    return found
