# SPDX-License-Identifier: Apache-2.0
"""A diagnosis on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO


def print_diagnosis(report: Mapping[str, Any], file: TextIO) -> None:
    """Print the sentence with the next command, then the evidence, then the figures.

    Args:
        report: what `scripts.diagnosis.report.as_json` gives.
        file: where to.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Written past Rich, which would break the command where the terminal ends.
    file.write(f"{report['sentence']} Next: {report['next_command']}\n\n")
    file.write(f"Verdict: {report['verdict']}{'' if report['sure'] else ' (the best explanation, not proven)'}\n")
    for reason in report["reasons"]:
        file.write(f"  - {reason}\n")
    if report["mend"]:
        file.write(f"What to do: {report['mend']}\n")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("from", "figure", "value", "health"):
        table.add_column(head, no_wrap=True)
    for figure in report["figures"]:
        # Text, not str: a config's own words are not allowed to speak Rich's markup language.
        table.add_row(*(Text(str(figure[key])) for key in ("source", "name", "value", "limit")))
    Console(file=file, width=None if file.isatty() else 160).print(table)
