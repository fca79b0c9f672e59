# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page of an evaluation: best, median and worst case, every patient, every table."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.metrics.tables import Table
from scripts.report.document import fill_document
from scripts.report.page import RESEARCH_USE

PAGE = "evaluation.html"
_OPEN = 1


def render_page(
    title: str,
    lead: str,
    rule: str,
    cases: Mapping[str, bytes],
    charts: Mapping[str, bytes],
    tables: Sequence[Table],
    notes: Sequence[str],
) -> str:
    """The page as text; it loads nothing and runs no script.

    Args:
        title: heading; says which kind of data.
        lead: the result in one sentence.
        rule: by which the cases were chosen.
        cases: PNG by word; none for a page of tables.
        charts: PNG by what they show.
        tables: all; the first is open.
        notes: how it was measured.
    """
    return fill_document(
        Path(__file__).parent,
        title=html.escape(title),
        notice=html.escape(RESEARCH_USE),
        lead=html.escape(lead),
        shown=_shown(rule, cases, charts) if cases else "",
        tables="\n".join(_table(table, number < _OPEN) for number, table in enumerate(tables)),
        notes="\n".join(f"<li>{html.escape(note)}</li>" for note in notes),
    )


def _shown(rule: str, cases: Mapping[str, bytes], charts: Mapping[str, bytes]) -> str:
    rows = (f"<h3>{html.escape(word.capitalize())}</h3>{_image(png, word)}" for word, png in cases.items())
    drawn = (_image(png, word) for word, png in charts.items())
    return "\n".join(
        ["<h2>Best, median, worst</h2>", f"<p>{html.escape(rule)}.</p>", *rows, "<h2>Every patient</h2>", *drawn]
    )


def _image(png: bytes, alt: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<figure><img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{data}"></figure>'


def _table(table: Table, shown: bool) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return (
        f"<details{' open' if shown else ''}><summary>{html.escape(table.title)}</summary>"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div></details>'
    )
