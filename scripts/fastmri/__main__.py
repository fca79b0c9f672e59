# SPDX-License-Identifier: Apache-2.0
"""Import pairs of fastMRI knee volumes (.h5) as NIfTI."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from scripts.errors import UsageError
from scripts.fastmri.convert import PAIRS, import_volumes
from scripts.fastmri.pairing import read_list
from scripts.fastmri.volumes import RECONSTRUCTIONS
from scripts.program import run_program

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Folder of fastMRI .h5 files, searched to any depth.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make, or to go on with.")],
    listed: Annotated[
        Path | None, typer.Option("--list", help="CSV: PD file, PDFS file per line. Default: pair by patient_id.")
    ] = None,
    reconstruction: Annotated[
        str, typer.Option(metavar="auto|rss|esc", help="Image to take: of all coils, or of the emulated single one.")
    ] = "auto",
) -> None:
    """Import pairs of fastMRI knee volumes as NIfTI, with a list that `kneesynth pair` reads.

    Example: python -m scripts.fastmri multicoil_train -o knees; kneesynth pair knees/pairs.csv -o knees/manifest.json
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    names = [name for name in RECONSTRUCTIONS if reconstruction in ("auto", name.rpartition("_")[2])]
    if not names:
        raise UsageError(f"--reconstruction {reconstruction}; choose auto, rss or esc")
    found = import_volumes(source, out, None if listed is None else read_list(listed), names)
    for one in found.unpaired:
        typer.echo(f"not paired: {', '.join(one.names)}: {one.words} ({one.reason})")
    for path, words in found.refused:
        typer.echo(f"refused: {path.name}: {words}")
    count = len(found.pairs)
    typer.echo(f"{count} {'pair' if count == 1 else 'pairs'} in {out / PAIRS}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; see `run_program`."""
    return run_program(app, "scripts.fastmri", arguments)


if __name__ == "__main__":
    sys.exit(main())
