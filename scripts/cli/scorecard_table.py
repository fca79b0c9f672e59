# SPDX-License-Identifier: Apache-2.0
"""A scorecard on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from scripts.scorecard.run import Card

_MARKS = {True: "yes", False: "OUT", None: "not measured"}


def print_card(card: Card, compared: Sequence[Mapping[str, Any]] | None, file: TextIO) -> None:
    """Print one row per criterion, and the verdict below.

    Args:
        card: what was measured.
        compared: the changes against another card, in the order of the rows.
        file: where to.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    echo = "" if card.echo_time is None else f", TE {1000 * card.echo_time:.1f} ms"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"stack {card.stack}, {card.plane}{echo}")
    heads = ["row", "value", "accepted", "within"] + ([] if compared is None else ["before", "change"])
    for head in heads:
        table.add_column(head, justify="right" if head in ("value", "before") else "left", no_wrap=True)
    for number, row in enumerate(card.rows):
        title = row.criterion.title + (" *" if row.criterion.critical else "")
        cells = [title, _number(row.value), row.criterion.accepted, _MARKS[row.within]]
        if compared is not None:
            cells += [_number(compared[number]["before"]), str(compared[number]["word"])]
        # Text, not str: a title from a file is not allowed to speak Rich's markup language.
        table.add_row(*(Text(cell) for cell in cells), style="bold" if row.within is False else None)
    console = Console(file=file, width=None if file.isatty() else 160)
    console.print(table)
    for note in card.notes:
        console.print(Text(f"Note: {note}"))
    console.print(Text(f"Verdict, {card.plane}: {card.verdict.word}. {card.verdict.reason}"))
    console.print(Text("* misleads a reader when it is out"))
    if compared is not None:
        worse = [str(change["title"]) for change in compared if change["word"] == "worse"]
        console.print(Text(f"Worse than before: {', '.join(worse)}" if worse else "No row is worse than before"))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
