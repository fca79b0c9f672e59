# SPDX-License-Identifier: Apache-2.0
"""Make a simulated clinic with planted faults, and score a manifest of pairs against its truth.

Example: python -m scripts.clinic make -o outputs/clinic; kneesynth pair outputs/clinic/studies -o pairs.json
--accept-simulated; python -m scripts.clinic score outputs/clinic pairs.json
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from scripts.clinic.make import make_clinic
from scripts.clinic.score import score_manifest
from scripts.clinic.table import as_json, as_markdown
from scripts.clinic.truth import read_truth
from scripts.errors import FaultFound, UsageError
from scripts.handlers.files import write_text_atomically
from scripts.program import run_program

app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)


@app.callback()
def start() -> None:
    """Log to the terminal."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("scripts.dicom").setLevel(logging.WARNING)


@app.command("make")
def make(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make, or to go on with.")],
    studies: Annotated[int, typer.Option(min=1, help="Number of studies.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of plan and knees.")] = 1,
    shape: Annotated[str, typer.Option(metavar="SLICESxROWSxCOLUMNS", help="Of each PD.")] = "24x256x256",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Make the studies as DICOM, and beside them the truth.

    Example: python -m scripts.clinic make -o outputs/clinic --studies 100
    """
    tree = make_clinic(out, studies, seed, _shape(shape), workers)
    typer.echo(f"{studies} simulated studies in {tree}")


@app.command("score")
def score(
    clinic: Annotated[Path, typer.Argument(help="Folder that `make` made.")],
    manifest: Annotated[Path, typer.Argument(help="JSON of pairs that `kneesynth pair` wrote.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for score.json and score.md.")] = None,
) -> None:
    """Score a manifest; the exit code is 10 where a limit is missed.

    Example: python -m scripts.clinic score outputs/clinic pairs.json -o outputs/clinic-score
    """
    found = score_manifest(read_truth(clinic), manifest)
    text = as_markdown(found)
    typer.echo(text)
    if out is not None:
        write_text_atomically(out / "score.json", as_json(found))
        write_text_atomically(out / "score.md", text + "\n")
    if missed := found.missed:
        raise FaultFound(f"{', '.join(missed)}; need every limit kept; see the table")


def _shape(text: str) -> tuple[int, int, int]:
    try:
        slices, rows, columns = (int(side) for side in text.lower().split("x"))
    except ValueError as error:
        raise UsageError(f"--shape {text}; need slices, rows and columns as in 24x256x256") from error
    if slices < 8 or min(rows, columns) < 48:
        raise UsageError(f"--shape {text}; need at least 8x48x48 for what is planted; make it larger")
    return slices, rows, columns


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; see `run_program`."""
    return run_program(app, "scripts.clinic", arguments)


if __name__ == "__main__":
    sys.exit(main())
