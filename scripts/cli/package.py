# SPDX-License-Identifier: Apache-2.0
"""``kneesynth package``: the bundle as one zip that can be installed, or a bundle of weights of one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from scripts.errors import UsageError


def package(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the zip and its folder.")] = Path(
        "dist"
    ),
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="RUN/best.pt", help="Weights of a training run in place of the shipped."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of a package of your own weights. Default: made from the run's.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="X.Y.Z", help="Its version. Default: 0.1.0.")
    ] = None,
) -> None:
    """Write the bundle as an installable zip, with its folder beside it, and print its hash.

    The zip holds all that training, evaluation and synthesis need but the packages. Its sha256 is what
    `kneesynth synthesize --bundle` asks for, of the zip and of the folder alike.

    Example: [bold]kneesynth package --checkpoint outputs/RUN/best.pt --name our_knees --version 1.0.0[/bold]
    """
    from scripts.packaging.build import run_package, shipped_package, write_package
    from scripts.packaging.layout import find_layout

    if checkpoint is None and (name is not None or version is not None):
        raise UsageError("--name and --version are for weights of your own; need --checkpoint with them; add it.")
    layout = find_layout()
    made = shipped_package(layout) if checkpoint is None else run_package(layout, checkpoint, name, version)
    written = write_package(made, out)
    size = written.archive.stat().st_size / 1e6
    sys.stdout.write(
        f"{written.archive}  {size:.1f} MB, {len(made.files)} files\n{written.folder}\nsha256 {written.sha256}\n"
    )
