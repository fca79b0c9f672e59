# SPDX-License-Identifier: Apache-2.0
"""Tables as people and programs take them: Markdown that lines up, plain LaTeX, CSV. Never of two kinds of data."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scripts.errors import UsageError

_SIGNIFICANT = 6
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}


@dataclass(frozen=True)
class Table:
    """Words in rows.

    Args:
        title: says what was measured on which kind of data, and by which protocol.
        head: of the columns.
        rows: each as long as the head.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def one_kind(kinds: Iterable[str]) -> str:
    """The one kind of data that all rows of a table are of.

    A decibel on simulated knees and one on acquired scans are different quantities, and side by side they would be
    compared.

    Raises:
        UsageError: there are several.
    """
    found = sorted(set(kinds))
    if len(found) != 1:
        raise UsageError(
            f"{' and '.join(found) or 'no'} data for one table; need one kind, since their scores cannot be compared; "
            "evaluate each on its own"
        )
    return found[0]


def to_markdown(table: Table) -> str:
    """A title and a Markdown table whose columns also line up in a log."""
    rows = [table.head, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([f"### {table.title}", "", text[0], rule, *text[1:]]) + "\n"


def to_latex(table: Table) -> str:
    """A floating table of LaTeX that needs no package; first column to the left, the others to the right."""
    lines = [" & ".join(map(_escape, row)) + r" \\" for row in (table.head, *table.rows)]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escape(table.title)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
            r"\hline",
            lines[0],
            r"\hline",
            *lines[1:],
            r"\hline",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def to_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with the columns of the first; none at all give an empty text."""
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def plain(value: float) -> str:
    """A number for a CSV file: six significant digits; ``nan`` is an empty cell."""
    return "" if value != value else f"{value:.{_SIGNIFICANT}g}"


def _escape(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
