# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page that shows a source series beside its synthesis.

The page needs no network and no server: style, script and voxels stand inside it, and its content security policy
forbids loading anything. It shows exactly what it is handed; keeping patient identifiers out is the caller's duty.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from scripts.errors import OutputError
from scripts.report.overlay import Overlay
from scripts.report.voxels import CEILING, Precision, pack_within, png
from scripts.report.windows import DEFAULT, PRESETS, fixed_window

#: Largest page in bytes, text and voxels together.
MAX_BYTES = 25_000_000

RESEARCH_USE = "Research use only. Not for diagnosis."
OEDEMA_LIMIT = (
    "Marrow oedema that is not visible on PD cannot appear in a synthetic PDFS; "
    "a normal-looking synthetic PDFS does not exclude it."
)

_EDGES = ("left", "right", "top", "bottom")
_SCRIPTS = ("decode.js", "draw.js", "overlay.js", "window.js", "input.js", "page.js")
_STILL_WIDTH = 512


@dataclass(frozen=True)
class Pane:
    """One image stack of a report; all stacks of a report share their geometry.

    Args:
        title: what stands above the image, e.g. ``"PD acquired (source)"``.
        contrast: ``"PD"`` or ``"PDFS"``; chooses the fixed window.
        voxels: ``(slices, rows, columns)`` in display orientation, normalised scale: 0 is no signal, 1.0 the 99.5th
            percentile in the body.
        synthetic: whether a network made it; such an image is marked wherever it is shown.
    """

    title: str
    contrast: str
    voxels: NDArray[np.float32]
    synthetic: bool


@dataclass(frozen=True)
class Report:
    """All that a report page shows.

    Args:
        title: heading of the page.
        panes: the source, the synthesis and, where the study has one, the acquired target, in this order.
        spacing_mm: distance of two neighbouring pixels along (rows, columns) in mm.
        positions_mm: one position per slice along the slice normal in mm.
        plane: e.g. ``"sagittal"``.
        edges: letter at the ``left``, ``right``, ``top`` and ``bottom`` edge, e.g. A, P, H, F.
        target: contrast that was synthesised, ``"PD"`` or ``"PDFS"``; PDFS brings the oedema sentence.
        warnings: one sentence each, shown above the images.
        facts: heading -> name -> value; what went in, what was decided and why, weights, time.
        overlay: what is laid over the synthesis when the reader asks; None for nothing.
    """

    title: str
    panes: tuple[Pane, ...]
    spacing_mm: tuple[float, float]
    positions_mm: tuple[float, ...]
    plane: str
    edges: Mapping[str, str]
    target: str
    warnings: tuple[str, ...]
    facts: Mapping[str, Mapping[str, str]]
    overlay: Overlay | None = None


def write_page(report: Report, path: Path) -> None:
    """Write a report as one HTML file of at most 25 MB.

    Voxels are kept in steps of 0.001, the step of the stored DICOM integers. Where that does not fit, first the depth
    and then the in-plane resolution is reduced until it does, and the page says so above the images.

    Args:
        report: what to show.
        path: the file to write; its folder exists.

    Raises:
        ValueError: the report contradicts itself; the message says what was found and what is needed.
        OutputError: the page cannot be kept within its size, or the file cannot be written.
    """
    text = render_page(report)
    try:
        Path(path).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"cannot write the report page: {error.strerror}; choose a writable folder") from error


def render_page(report: Report) -> str:
    """The page as text; the same report always gives the same text.

    Raises:
        ValueError, OutputError: as :func:`write_page`.
    """
    _check(report)
    style, script = _asset("page.css"), "(() => {\n" + "\n".join(map(_asset, _SCRIPTS)) + "})();"
    fields = {
        "policy": "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src {_digest(style)}; script-src {_digest(script)}",
        "style": style,
        "script": script,
        "title": html.escape(report.title),
        "limit": html.escape(OEDEMA_LIMIT) if report.target == "PDFS" else "",
        "research_use": html.escape(RESEARCH_USE),
        "stills": "\n".join(_still(pane, report) for pane in report.panes),
    }
    template = Template(_asset("page.html"))
    coarsest = Precision(step=0.008, shrink=8)  # its note is the longest that the page may have to carry
    empty = template.substitute(fields, **_about(report, coarsest), stacks="")
    budget = MAX_BYTES - len(empty.encode()) - 1000
    volumes = [pane.voxels for pane in report.panes]
    volumes += [] if report.overlay is None else [report.overlay.stack]
    precision, packed = pack_within(volumes, budget)
    stacks = "\n".join(
        f'<script type="text/plain" data-stack="{i}">' + "\n".join(texts) + "</script>"
        for i, texts in enumerate(packed)
    )
    return template.substitute(fields, **_about(report, precision), stacks=stacks)


def _check(report: Report) -> None:
    """Refuse a report whose parts do not fit each other."""
    panes = report.panes
    if len(panes) not in (2, 3):
        raise ValueError(f"found {len(panes)} panes; need source, synthesis and at most one acquired target")
    shape = np.shape(panes[0].voxels)
    if len(shape) != 3 or 0 in shape:
        raise ValueError(f"pane 1 has shape {shape}; need (slices, rows, columns), none of them 0")
    for number, pane in enumerate(panes, start=1):
        fixed_window(pane.contrast)
        found = np.shape(pane.voxels)
        if found != shape:
            raise ValueError(f"pane {number} has shape {found}; need {shape}, the shape of pane 1")
        if np.asarray(pane.voxels).dtype.kind != "f":
            raise ValueError(f"pane {number} holds {np.asarray(pane.voxels).dtype}; need floats, normalised scale")
        if not np.isfinite(pane.voxels).all():
            raise ValueError(f"pane {number} holds values that are not finite; need finite values")
    if report.overlay is not None:
        values = np.asarray(report.overlay.values)
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(
                f"the overlay has shape {values.shape}; need {shape}, the shape of pane 1, and finite values"
            )
    if not panes[1].synthetic:
        raise ValueError("pane 2 is not marked synthetic; need the synthesis in second place")
    for number, pane in enumerate(panes[1:], start=2):
        if pane.contrast != report.target:
            raise ValueError(f"pane {number} is {pane.contrast}; need {report.target}, the target of the report")
    if len(report.positions_mm) != shape[0]:
        raise ValueError(f"found {len(report.positions_mm)} positions; need {shape[0]}, one per slice")
    if not all(map(math.isfinite, report.positions_mm)):
        raise ValueError("found a position that is not finite; need mm along the slice normal")
    if len(report.spacing_mm) != 2 or not all(math.isfinite(s) and s > 0 for s in report.spacing_mm):
        raise ValueError(f"found spacing {report.spacing_mm}; need two positive lengths in mm, (row, column)")
    if set(report.edges) != set(_EDGES):
        raise ValueError(f"found edges {sorted(report.edges)}; need {', '.join(_EDGES)}")


def _about(report: Report, precision: Precision) -> dict[str, str]:
    """The parts of the page that depend on how finely the voxels are kept."""
    slices, rows, columns = np.shape(report.panes[0].voxels)
    k = precision.shrink
    shown = (-(-rows // k), -(-columns // k))
    note = _reduction(precision, (rows, columns), shown)
    settings = {
        "panes": [{"title": p.title, "contrast": p.contrast, "synthetic": bool(p.synthetic)} for p in report.panes],
        "slices": slices,
        "rows": shown[0],
        "columns": shown[1],
        "spacing": [float(s) * k for s in report.spacing_mm],
        "positions": [round(float(p), 3) for p in report.positions_mm],
        "plane": report.plane,
        "edges": dict(report.edges),
        "step": precision.step,
        "levels": precision.levels,
        "overlay": None if report.overlay is None else report.overlay.settings(),
        "default": DEFAULT,
        "presets": {
            contrast: {name: {"level": w.level, "width": w.width} for name, w in presets.items()}
            for contrast, presets in PRESETS.items()
            if any(pane.contrast == contrast for pane in report.panes)
        },
    }
    scale = {
        "Scale": "1.00 is the 99.5th percentile in the body of that contrast; stored integers are 1000 times the value",
        "Fixed windows": "; ".join(
            f"{contrast} {window.lower:.2f} to {window.upper:.2f}"
            for contrast, window in ((pane.contrast, fixed_window(pane.contrast)) for pane in report.panes[:2])
        )
        + ", the same in every report, never fitted to the result",
        "Voxels in this page": f"{shown[0]} x {shown[1]} pixels, {slices} slices, steps of {precision.step:g} "
        f"from 0 to {CEILING:g}" + ("" if note else ": as finely as the stored series"),
    }
    groups = [*report.facts.items(), ("How the images are shown", scale)]
    notices = [_notice("warning", "Warning", text) for text in report.warnings]
    if note:
        notices.append(_notice("reduced", "Reduced", note))
    return {
        "settings": json.dumps(settings, ensure_ascii=True).replace("<", "\\u003c"),
        "notices": "\n".join(notices),
        "facts": "\n".join(_facts(heading, rows_) for heading, rows_ in groups),
    }


def _reduction(precision: Precision, full: tuple[int, int], shown: tuple[int, int]) -> str:
    """What the page lost against the stored series; empty when nothing."""
    if precision == Precision():
        return ""
    parts = []
    if precision.shrink > 1:
        k = precision.shrink
        parts.append(
            f"averages of {k} x {k} pixels ({shown[0]} x {shown[1]} shown of {full[0]} x {full[1]} rows and columns)"
        )
    if precision.step > Precision().step:
        parts.append(f"grey steps of {precision.step:g} instead of {Precision().step:g}")
    return (
        f"This page shows {' and '.join(parts)}, to stay below {MAX_BYTES // 1_000_000} MB. "
        "The stored series are not reduced."
    )


def _notice(kind: str, label: str, text: str) -> str:
    return f'<li class="{kind}"><strong>{label}</strong> {html.escape(text)}</li>'


def _facts(heading: str, rows: Mapping[str, str]) -> str:
    items = "\n".join(
        f"<div><dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd></div>"
        for name, value in rows.items()
    )
    return f"<section><h3>{html.escape(str(heading))}</h3>\n<dl>\n{items}\n</dl></section>"


def _still(pane: Pane, report: Report) -> str:
    """The middle slice in its fixed window as a picture, for readers without scripts."""
    middle = np.asarray(pane.voxels[len(pane.voxels) // 2], dtype=np.float32)
    every = -(-max(middle.shape) // _STILL_WIDTH)
    picture = base64.b64encode(png(fixed_window(pane.contrast).apply(middle[::every, ::every]))).decode("ascii")
    rows, columns = middle.shape
    height = round(360 * rows * report.spacing_mm[0] / (columns * report.spacing_mm[1]))
    edges = ", ".join(f"{side} {report.edges[side]}" for side in _EDGES)
    caption = html.escape(f"{pane.title}, slice {len(pane.voxels) // 2 + 1} of {len(pane.voxels)}; {edges}")
    mark, said = ("<strong>SYNTHETIC</strong> ", "Synthetic. ") if pane.synthetic else ("", "")
    return (
        f'<figure><img width="360" height="{height}" alt="{said}{caption}" '
        f'src="data:image/png;base64,{picture}">'
        f"<figcaption>{mark}{caption}</figcaption></figure>"
    )


def _asset(name: str) -> str:
    """A part of the page without its licence line, which speaks of this source and not of a report."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8").split("\n", 1)[1]


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") + "'"
