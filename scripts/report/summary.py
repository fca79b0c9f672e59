# SPDX-License-Identifier: Apache-2.0
"""One picture that says what a report page says first: for viewers that show images and nothing else."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.report.page import OEDEMA_LIMIT, RESEARCH_USE, Pane, Report
from scripts.report.windows import fixed_window

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

WIDTH = 1024
MOST_WARNINGS = 8
"""A page that cannot be read at a glance is not read; the others are in the report."""

_MARGIN = 28
_TALLEST = 560
"""Rows of a slice, so that a narrow one does not push the text out of sight."""
_WHITE, _TEXT, _LABEL = 255, 215, 150
_LABEL_WIDTH = 210


def draw_summary(
    report: Report, facts: Mapping[str, str], identifiers: Mapping[str, str] | None = None
) -> NDArray[np.uint8]:
    """Draw source and synthesis side by side, what was made of what, and what it cannot show.

    Args:
        report: as for the page; its middle slice is shown, in the fixed windows.
        facts: label to value, below the images.
        identifiers: whom it is of; left out by default.

    Returns:
        (rows, 1024) grey, the same for the same arguments.
    """
    from PIL import Image, ImageDraw

    # Drawn on a sheet that is surely long enough, and cut where the text ends.
    sheet = Image.new("L", (WIDTH, 3000 + 60 * len(facts)), 0)
    pen = _Pen(ImageDraw.Draw(sheet))
    pen.say(f"SYNTHETIC {report.target}: computed, not acquired", 30, _WHITE, bold=True)
    pen.say(RESEARCH_USE, 20, _WHITE, bold=True)
    if report.target == "PDFS":
        pen.say(OEDEMA_LIMIT, 20, _WHITE)
    if identifiers:
        pen.rule()
        for label, value in identifiers.items():
            pen.pair(label, value)
    pen.rule()
    pen.y += _draw_panes(sheet, pen, report)
    pen.rule()
    for label, value in facts.items():
        pen.pair(label, value)
    shown, more = report.warnings[:MOST_WARNINGS], len(report.warnings) - MOST_WARNINGS
    for warning in (*shown, *([f"{more} more in report.html"] if more > 0 else [])):
        pen.pair("Warning", warning, bold=True)
    return np.asarray(sheet)[: min(pen.y + _MARGIN, sheet.height)].copy()


class _Pen:
    """Writes downwards from the top of the sheet, breaking lines at its edge."""

    def __init__(self, draw: ImageDraw) -> None:
        self.draw, self.y = draw, _MARGIN

    def say(self, words: str, size: int, grey: int, left: int = _MARGIN, bold: bool = False) -> None:
        font = _font(size, bold)
        for line in _lines(words, font, WIDTH - _MARGIN - left):
            self.draw.text((left, self.y), line, fill=grey, font=font)
            self.y += round(1.35 * size)

    def pair(self, label: str, value: str, bold: bool = False) -> None:
        self.draw.text((_MARGIN, self.y), label, fill=_LABEL, font=_font(18, bold))
        self.say(value, 18, _TEXT, _MARGIN + _LABEL_WIDTH, bold)

    def rule(self) -> None:
        self.draw.line((_MARGIN, self.y + 8, WIDTH - _MARGIN, self.y + 8), fill=80)
        self.y += 22


def _draw_panes(sheet: Any, pen: _Pen, report: Report) -> int:
    """Draw the middle slice of each pane; give the rows that they take."""
    from PIL import Image

    count = len(report.panes)
    room = (WIDTH - _MARGIN * (count + 1)) // count
    rows, columns = report.panes[0].voxels.shape[1:]
    tall, wide = rows * report.spacing_mm[0], columns * report.spacing_mm[1]
    zoom = min(room / wide, _TALLEST / tall)
    size = max(round(wide * zoom), 1), max(round(tall * zoom), 1)
    middle = len(report.panes[0].voxels) // 2
    title, small = _font(18, True), _font(15, False)
    for index, pane in enumerate(report.panes):
        left = _MARGIN + index * (room + _MARGIN)
        _draw_title(pen, pane, left, title)
        grey = fixed_window(pane.contrast).apply(pane.voxels[middle])
        top = pen.y + 30
        sheet.paste(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC), (left, top))
        pen.draw.rectangle((left, top, left + size[0] - 1, top + size[1] - 1), outline=80)
        window = fixed_window(pane.contrast)
        caption = f"slice {middle + 1} of {len(pane.voxels)}, fixed window {window.lower:g} to {window.upper:g}"
        pen.draw.text((left, top + size[1] + 6), caption, fill=_LABEL, font=small)
    edges = ", ".join(f"{side} {report.edges[side]}" for side in ("left", "right", "top", "bottom"))
    pen.draw.text((_MARGIN, pen.y + 30 + size[1] + 28), f"{report.plane}; {edges}", fill=_LABEL, font=small)
    return 30 + size[1] + 50


def _draw_title(pen: _Pen, pane: Pane, left: int, font: FreeTypeFont) -> None:
    if not pane.synthetic:
        pen.draw.text((left, pen.y), pane.title, fill=_WHITE, font=font)
        return
    place, words = (left + 6, pen.y), f"SYNTHETIC {pane.contrast}"
    box = pen.draw.textbbox(place, words, font=font)
    pen.draw.rectangle((left, box[1] - 4, box[2] + 6, box[3] + 4), fill=_WHITE)
    pen.draw.text(place, words, fill=0, font=font)


def _lines(words: str, font: FreeTypeFont, room: int) -> Sequence[str]:
    """Break a text into lines of at most ``room`` pixels; a word that is longer than a line is broken too."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= room:
            lines[-1] = longer
            continue
        lines += [""] * bool(lines[-1])
        for letter in word:
            if font.getlength(lines[-1] + letter) > room:
                lines.append("")
            lines[-1] += letter
    return lines


@lru_cache(maxsize=16)
def _font(size: int, bold: bool) -> FreeTypeFont:
    """DejaVu Sans, which matplotlib brings: it has the letters of most names, and Pillow's own font has not."""
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")  # not imported: that takes time and wants a folder to write to
    place = Path(next(iter((found and found.submodule_search_locations) or ["."])))
    file = place / "mpl-data" / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)
