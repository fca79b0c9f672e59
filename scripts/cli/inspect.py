# SPDX-License-Identifier: Apache-2.0
"""``kneesynth inspect``: what lies in a folder, stack by stack."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from scripts.cli.json_output import check_json_target, write_json


def inspect(
    paths: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="DICOM folder (searched to any depth) or files.")
    ],
    site: Annotated[
        Path | None,
        typer.Option("--site", metavar="FILE", help="TOML file: what the series names of this site mean."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Write the entries as JSON; `-` is stdout.")
    ] = None,
) -> None:
    r"""List the geometric stacks of a DICOM study: plane, size, timing, contrast, and whether each can be used.

    A site file names series by description or protocol: \[series."KN 3"] with contrast = "PDFS" (PD, other), plane =
    "sagittal" (coronal, axial) or ignore = true. What headers code or measure wins over it, with a note.

    Example: [bold]kneesynth inspect study/[/bold]
    """
    from scripts.cli.tables import print_stacks
    from scripts.dicom.index import index_series
    from scripts.dicom.site import load_site
    from scripts.errors import SourceError, UsageError

    if json_file is not None:
        check_json_target(json_file)
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"{missing[0].name}: no such file or folder; need an existing input; check the path")
    stacks = index_series(paths, None if site is None else load_site(site))
    if json_file is not None:
        write_json([stack.as_dict() for stack in stacks], json_file)
    if not stacks:
        raise SourceError("no DICOM series found; need a folder with a knee study; check the path")
    if json_file is None or str(json_file) != "-":
        print_stacks(stacks, sys.stdout, descriptions=True)
        for stack in stacks:
            sys.stdout.writelines(f"Stack {stack.id}: {note}\n" for note in stack.notes)
