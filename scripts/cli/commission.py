# SPDX-License-Identifier: Apache-2.0
"""``kneesynth commission``: whether the synthesis is good enough for a site's own scans, on record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scripts.cli.json_output import check_json_target, write_json
from scripts.errors import UsageError

NOT_PASSED = 10


def commission(
    studies: Annotated[
        Path,
        typer.Argument(metavar="STUDIES", help="Folder of 10 to 30 exams with PD and PDFS, or a manifest of pairs."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the page and its files.")],
    limits: Annotated[
        Path | None, typer.Option("--limits", metavar="FILE", help="What has to be reached, as YAML.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", metavar="OLD.json", help="commissioning.json of before an upgrade.")
    ] = None,
    site: Annotated[
        Path | None, typer.Option("--site", metavar="FILE", help="TOML: what the series names of this site mean.")
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Exams that are paired at a time.")] = None,
    accept_simulated: Annotated[
        bool, typer.Option("--accept-simulated", help="Take this project's simulated series.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Write the record here too; `-` is stdout.")
    ] = None,
) -> None:
    """Try the synthesis on a site's own exams: scores, worst cases, pass or fail, ranges for the gate, a calibration.

    Exit code 0 where every limit is kept, 10 where one is missed or there are too few patients for a verdict.

    Example: [bold]kneesynth commission exams/ -o commissioning/ --compare last_year/commissioning.json[/bold]
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: unknown; need auto, cpu or cuda; choose one")
    if json_file is not None:
        check_json_target(json_file)
    from scripts.cli.progress import progress
    from scripts.commissioning.compare import changed_verdict
    from scripts.commissioning.judge import SHIPPED
    from scripts.commissioning.record import PASS, read_record
    from scripts.commissioning.run import Request, as_json
    from scripts.commissioning.run import commission as run

    request = Request(studies, out, limits or SHIPPED, compare, device, site, accept_simulated, workers)
    with progress() as tell:
        record = run(request, tell)
    if json_file is not None:
        write_json(as_json(record), json_file)
    if json_file is None or str(json_file) != "-":
        typer.echo(f"{record.verdict}: {record.sentence}")
        if compare is not None:
            typer.echo(changed_verdict(read_record(compare), record))
        if record.data["calibration"]:
            typer.echo(f"uncertainty not calibrated: {record.data['calibration']}")
        typer.echo(f"look at commissioning.html in {out}")
    if record.verdict != PASS:
        raise typer.Exit(NOT_PASSED)
