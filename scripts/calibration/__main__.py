# SPDX-License-Identifier: Apache-2.0
"""Find the limits of the gate on simulated scans, and tell how often it warns."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from scripts.calibration.limits import find_limits, write_limits
from scripts.calibration.measured import measure_real, measure_tasks, read_measured, tasks, write_measured
from scripts.calibration.table import as_markdown, put_into, table_lines, write_table
from scripts.program import run_program
from scripts.quality.limits import FILE
from scripts.software import default_root

logger = logging.getLogger("scripts.calibration")

MEASURED, TABLE = "measures.csv", "table.csv"

Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder of the measures.")]

app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)


@app.callback()
def start() -> None:
    """Log to the terminal."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s")


@app.command("measure")
def measure(
    out: Folder = Path("outputs/gate"),
    knees: Annotated[int, typer.Option(min=2, help="Sound knees that limits are found on, in three planes.")] = 24,
    checked: Annotated[int, typer.Option(min=0, help="Other sound knees, on which they are tried.")] = 12,
    disturbed: Annotated[int, typer.Option(min=0, help="Of those, with artefacts too.")] = 4,
    training: Annotated[int, typer.Option(min=2, help="Stacks as the training data are drawn.")] = 30,
    real: Annotated[Path | None, typer.Option(help="Folder of real DICOM.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Simulate scans and measure them: half an hour on two cores."""
    out.mkdir(parents=True, exist_ok=True)
    write_measured([] if real is None else measure_real(real), out / MEASURED)
    todo = tasks(knees, checked, disturbed, training)
    for number, rows in enumerate(measure_tasks(todo, workers), 1):
        write_measured(rows, out / MEASURED, append=True)
        logger.info("%d of %d", number, len(todo))


@app.command("limits")
def limits(
    out: Folder = Path("outputs/gate"),
    publish: Annotated[bool, typer.Option(help="Also put limits and table in their places in this checkout.")] = False,
) -> None:
    """Find the limits on what was measured, and write them beside the table of how often they warn."""
    rows = read_measured(out / MEASURED)
    found = find_limits(rows, default_root() / "configs" / "train.yaml")
    lines = table_lines(rows, found)
    write_limits(found, out / FILE.name)
    write_table(lines, out / TABLE)
    (out / "table.md").write_text(as_markdown(lines) + "\n", encoding="utf-8")
    if publish:
        docs = default_root() / "docs"
        shutil.copy(out / FILE.name, FILE)
        (docs / "gate").mkdir(exist_ok=True)
        shutil.copy(out / TABLE, docs / "gate" / TABLE)
        put_into(docs / "DICOM_INPUT.md", as_markdown(lines))


if __name__ == "__main__":
    sys.exit(run_program(app, "scripts.calibration"))
