# SPDX-License-Identifier: Apache-2.0
"""A check for people: one HTML file with the worst pairs in pictures, which loads nothing and runs no script."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scripts.checking.findings import Finding
from scripts.checking.pair import Pair
from scripts.checking.run import Report, as_json, words_about, worst
from scripts.handlers.png import encode_png
from scripts.report.document import fill_document

SQUARES = 6
"""Squares of the checkerboard along a side."""
_GAP = 2


def render_page(report: Report) -> str:
    """The page as text."""
    content = as_json(report)
    ready = report.exit_code == 0
    return fill_document(
        Path(__file__).parent,
        pairs=len(report.pairs),
        short="ready" if ready else "fix first",
        mark="fine" if ready else "fault",
        verdict=html.escape(report.verdict),
        facts="\n".join(_facts(content)),
        findings="\n".join(map(_finding, report.findings)) or "<p>None.</p>",
        mosaic="\n".join(_figure(report, pair) for pair in worst(report)),
        ranges="\n".join(
            f"<tr><td>{html.escape(name)}</td>" + "".join(f'<td class="n">{value:g}</td>' for value in values) + "</tr>"
            for name, values in content["ranges"].items()
        ),
        rows="\n".join(_row(report, pair) for pair in report.pairs),
        program=html.escape(f"Made by {content['program'].get('program', 'kneesynth')}."),
    )


def picture_of(pair: Pair) -> bytes | None:
    """PD, PDFS and a checkerboard of both, in one slice of the middle, as PNG; None where there are no thumbnails."""
    if pair.pictures is None:
        return None
    middle = (len(pair.pictures[0]) - 1) // 2
    a, b = (_windowed(one[middle].float()) for one in pair.pictures)
    rows, columns = a.shape
    odd = (np.arange(rows)[:, None] * SQUARES // rows + np.arange(columns)[None] * SQUARES // columns) % 2 == 1
    gap = np.zeros((rows, _GAP), np.uint8)
    whole = np.concatenate([a, gap, b, gap, np.where(odd, b, a)], axis=1)
    return encode_png(np.repeat(whole[..., None], 3, axis=2))


def _windowed(image: Tensor) -> np.ndarray:
    white = float(torch.quantile(image, 0.995)) or 1.0
    found: np.ndarray = (image / white).clamp(0, 1).mul(255).byte().numpy()
    return found


def _facts(content: dict[str, Any]) -> Iterator[str]:
    sections = ", ".join(
        f"{name}: {one['pairs']} pairs of {one['patients']} patients" for name, one in content["sections"].items()
    )
    facts = {"Layout": content["layout"], "Split": sections}
    if content["estimate"] is not None:
        facts["Training"] = content["estimate"]["sentence"]
    for name, words in facts.items():
        yield f"<tr><th>{name}</th><td>{html.escape(words)}</td></tr>"


def _finding(finding: Finding) -> str:
    words = finding.words if len(finding.words) == len(finding.about) else ("",) * len(finding.about)
    entries = "".join(
        f"<li>{html.escape(key)}{': ' + html.escape(text) if text else ''}</li>"
        for key, text in zip(finding.about, words, strict=True)
    )
    return (
        f'<details><summary><span class="{finding.kind.grave}">{html.escape(finding.sentence)}</span>: '
        f"{html.escape(finding.kind.todo)}</summary><ul>{entries}</ul></details>"
    )


def _figure(report: Report, pair: Pair) -> str:
    picture = picture_of(pair)
    said = words_about(report, pair.key) or ["nothing found"]
    shown = '<p class="none">no picture</p>'
    if picture is not None:
        data = base64.b64encode(picture).decode()
        shown = f'<img alt="PD, PDFS and both of {html.escape(pair.key)}" src="data:image/png;base64,{data}">'
    caption = f"<b>{html.escape(pair.key)}</b>, {pair.section}: {html.escape('; '.join(said))}"
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _row(report: Report, pair: Pair) -> str:
    grid = pair.grids[0] if pair.grids is not None else None
    cells = [
        (html.escape(pair.key), ""),
        (pair.section, ""),
        (grid.plane if grid else "", ""),
        (_grid(pair), ""),
        ("" if pair.fit is None else f"{pair.fit.shift_mm:.1f}", "n"),
        ("" if pair.information is None else f"{pair.information:.1f}", "n"),
        ("" if pair.peak is None else f"{pair.peak:.1f}", "n"),
        (html.escape("; ".join(words_about(report, pair.key))), ""),
    ]
    return (
        "<tr>"
        + "".join(f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>" for text, kind in cells)
        + "</tr>"
    )


def _grid(pair: Pair) -> str:
    if pair.grids is None:
        return ""
    grid = pair.grids[0]
    shape, spacing = " x ".join(map(str, grid.shape)), " x ".join(f"{size:.2f}" for size in grid.spacing_mm)
    return f"{shape}, {spacing} mm"
