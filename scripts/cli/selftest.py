# SPDX-License-Identifier: Apache-2.0
"""``kneesynth selftest``: whether this installation does what it should."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.json_output import check_json_target, write_json
from scripts.cli.synthesize import OUTPUT_VARIABLES
from scripts.errors import refusal

if TYPE_CHECKING:
    from scripts.selftest.findings import Findings


def selftest(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=f"Where results will go. Default: {', '.join(OUTPUT_VARIABLES)}, or TMPDIR."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Write the findings here too; `-` is stdout.")
    ] = None,
    store: Annotated[
        bool, typer.Option("--store", help="After new weights: write down what they give, for every later selftest.")
    ] = False,
) -> None:
    """Check weights, decoders, room, both directions on each device, and what is written, in a few seconds, offline.

    Ends with 0, or with the exit code of the first check that failed: 7 weights, 9 memory, 8 disk, 4 decoders,
    5 places, 1 for voxels that are not what they should be. See bundle/docs/RUNNING.md.

    Example: [bold]kneesynth selftest -o results/[/bold]
    """
    if json_file is not None:
        check_json_target(json_file)
    from rich.console import Console

    from scripts.selftest.run import run_selftest, store_results

    set_by_host = next((Path(os.environ[name]) for name in OUTPUT_VARIABLES if os.environ.get(name)), None)
    with Console(stderr=True).status("weights") as status:
        if store:
            store_results()
        findings = run_selftest(out or set_by_host, tell=status.update)
    if json_file is not None:
        write_json(findings.as_dict(), json_file)
    if json_file is None or str(json_file) != "-":
        print_findings(findings)
    if findings.failed:
        names = "; ".join(check.name for check in findings.failed)
        raise refusal(
            findings.failed[0].exit_code,
            f"selftest: {len(findings.failed)} of {len(findings.checks)} checks failed ({names}); need all; do what "
            "they say",
        )


def print_findings(findings: Findings) -> None:
    """Print a line per check."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("check", "", "found", box=box.SIMPLE_HEAD, pad_edge=False)
    for check in findings.checks:
        mark = Text("ok", style="green") if check.ok else Text("failed", style="bold red")
        table.add_row(Text(check.name), mark, Text(check.found))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)
    sys.stdout.write(f"{len(findings.checks)} checks in {findings.seconds:.0f} s\n")
