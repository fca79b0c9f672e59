# SPDX-License-Identifier: Apache-2.0
"""``kneesynth evaluate``: how good the weights are on real scans."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from scripts.cli.json_output import check_json_target, write_json
from scripts.errors import UsageError


def evaluate(
    source: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder with real PD as DICOM (any depth), or one NIfTI file."),
    ],
    scorecard: Annotated[
        bool, typer.Option("--scorecard", help="Synthesise PDFS and measure it in regions of known tissue; no truth.")
    ] = False,
    regions: Annotated[
        list[Path] | None,
        typer.Option("--regions", metavar="FILE", help="Where which tissue lies in this knee, as JSON; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for report.json and a picture of every third slice.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Weights to measure. Default: the bundle's own.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", metavar="FILE", help="report.json of another scorecard to set beside.")
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option("--series", metavar="ID", help="Stack id of `inspect`; repeatable. Default: every PD stack."),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Write the report here too; `-` is stdout.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Score a sound series that the model was not made for.")
    ] = False,
) -> None:
    """Score weights on real scans without a truth: the scorecard, one plain verdict per plane.

    Rows that need regions are not measured without a file of them that fits the knee; the others always are. How to
    write one, and what each row means: bundle/docs/SCORECARD.md.

    Example: [bold]kneesynth evaluate study/ --scorecard --regions knee.json -o scorecard/[/bold]
    """
    if not scorecard:
        raise UsageError(
            "evaluate without --scorecard: scores against acquired pairs are not here yet; need --scorecard, or "
            "`python -m monai.bundle run evaluating --config_file bundle/configs/evaluate.yaml` for pairs"
        )
    if json_file is not None:
        check_json_target(json_file)
    from scripts.cli.progress import progress
    from scripts.scorecard.run import Request, run_scorecard
    from scripts.synthesis.selection import AmbiguousSource

    request = Request(
        source=source,
        regions=tuple(regions or ()),
        series=tuple(series or ()),
        weights=weights,
        out=out,
        compare=compare,
        device=device,
        force=force,
    )
    try:
        with progress() as tell:
            cards, report = run_scorecard(request, tell)
    except AmbiguousSource as error:
        from scripts.cli.tables import print_stacks

        print_stacks(error.stacks, sys.stderr, descriptions=False)
        raise
    if json_file is not None:
        write_json(report, json_file)
    if json_file is None or str(json_file) != "-":
        from scripts.cli.scorecard_table import print_card

        for card, entry in zip(cards, report["cards"], strict=True):
            print_card(card, entry.get("compared"), sys.stdout)
        if out is not None:
            sys.stdout.write(f"Report and pictures: {', '.join(report['files'])} in {out}\n")
