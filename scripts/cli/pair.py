# SPDX-License-Identifier: Apache-2.0
"""``kneesynth pair``: from a tree of studies to a manifest of registered pairs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from scripts.cli.json_output import check_json_target, write_json


def pair(
    studies: Annotated[
        Path,
        typer.Argument(
            metavar="STUDIES",
            help="Tree of DICOM studies, tree of NIfTI files, or a CSV: patient,image,label[,section].",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="Manifest to write (JSON); the review page lies beside it."),
    ],
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Exams at a time. Default: one per core.")
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option("--site", metavar="FILE", help="TOML file: what the series names of this site mean."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Write the manifest here too; `-` is stdout.")
    ] = None,
    accept_simulated: Annotated[
        bool, typer.Option("--accept-simulated", help="Take this project's simulated series as acquired ones.")
    ] = False,
) -> None:
    """Find PD and PDFS of the same knee, match their slices, register them, refuse what is no pair, split by patient.

    A run that was ended goes on where it stopped. What is checked and what each refusal means: bundle/docs/PAIRING.md.

    Example: [bold]kneesynth pair studies/ -o pairs/manifest.json[/bold]
    """
    from collections import Counter

    from scripts.cli.progress import progress
    from scripts.errors import KneeSynthError, SourceError
    from scripts.interruption import INTERRUPTED
    from scripts.pairing.run import PairRequest
    from scripts.pairing.run import pair as run_pair

    if json_file is not None:
        check_json_target(json_file)
    request = PairRequest(studies, out, workers, accept_simulated, site)
    try:
        with progress() as tell:
            made = run_pair(request, tell)
    except KeyboardInterrupt as error:
        stopped = KneeSynthError("interrupted; finished exams are remembered; the same command goes on with the others")
        stopped.exit_code = INTERRUPTED
        raise stopped from error
    manifest = made.manifest
    if json_file is not None:
        write_json(manifest, json_file)
    if json_file is None or str(json_file) != "-":
        sections = Counter(entry["section"] for entry in manifest["pairs"])
        named = ", ".join(f"{sections[name]} {name}" for name in ("training", "validation", "test"))
        typer.echo(f"{len(manifest['pairs'])} pairs of {made.exams} exams ({named}) in {out}")
        for reason, count in Counter(entry["reason"] for entry in manifest["refused"]).most_common():
            typer.echo(f"refused, {reason}: {count}")
        sys.stdout.writelines(f"note: {note}\n" for note in manifest["notes"])
        typer.echo(f"look at {made.page.name} beside it, worst first")
    if not manifest["pairs"]:
        raise SourceError(
            f"no pair in {made.exams} exams; need PD and PDFS of the same knee; {made.page.name} says why"
        )
