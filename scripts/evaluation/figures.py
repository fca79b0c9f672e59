# SPDX-License-Identifier: Apache-2.0
"""Figures for a paper, 300 dpi PNG and PDF: cases shown by rule, every patient as a dot, agreement with the target."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.metrics.measures import MeasureScore
from scripts.metrics.summary import AS_STORED, CaseScore, bootstrap_mean
from scripts.metrics.tables import one_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 300
SCREEN_DPI = 110
ERROR_WINDOW = 0.3
_STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"))
"""Okabe and Ito's colours, each with a marker of its own."""
_AGREEING = ("fat-suppression ratio", "fat over muscle", "edge sharpness ratio")
_SEED = 0


@dataclass(frozen=True)
class Shown:
    """One case of a figure.

    Args:
        images: by title, each ``(H, W)`` on the fixed scale; the error last, without a window of grey.
        aspect: height over width of a pixel.
        caption: what stands below it.
    """

    images: dict[str, NDArray[np.floating]]
    aspect: float
    caption: str


def draw_case(shown: Shown) -> Figure:
    """Source, prediction, target and absolute error of one slice, fixed windows (0 to 1, error 0 to 0.3)."""
    rows, columns = next(iter(shown.images.values())).shape
    tall = min(max(2.1 * shown.aspect * rows / columns, 1.2), 4.2)
    figure = _figure((2.1 * len(shown.images) + 0.5, tall + 0.62))
    axes = figure.subplots(1, len(shown.images), squeeze=False)[0]
    for axis, (title, image) in zip(axes, shown.images.items(), strict=True):
        error = title == "absolute error"
        top, colours = (ERROR_WINDOW, "inferno") if error else (1.0, "gray")
        seen = axis.imshow(image, cmap=colours, vmin=0, vmax=top, aspect=shown.aspect, interpolation="nearest")
        axis.set_title(title, fontsize=8)
        axis.set_axis_off()
        if error:
            bar = figure.colorbar(seen, ax=axis, fraction=0.05)
            bar.ax.tick_params(labelsize=6)
    figure.text(0.01, 0.01, shown.caption, fontsize=6.5, va="bottom")
    figure.get_layout_engine().set(rect=(0, 0.36 / (tall + 0.62), 1, 1 - 0.36 / (tall + 0.62)))  # type: ignore[union-attr,call-arg]
    return figure


def draw_patients(rows: Sequence[CaseScore]) -> Figure:
    """PSNR and SSIM of every patient by every method, joined by patient, with mean and 95 % interval.

    Raises:
        UsageError: rows of simulated and of acquired data.
    """
    data, first = one_kind(row.data for row in rows), rows[0]
    way = (first.protocol, first.direction, first.reference, first.registration)
    mine = [
        row
        for row in rows
        if (row.protocol, row.direction, row.reference, row.registration) == way and row.scaling == AS_STORED
    ]
    methods = list(dict.fromkeys(row.method for row in mine))
    figure = _figure((7.0, 3.4))
    for axis, (name, title) in zip(figure.subplots(1, 2), (("psnr", "PSNR [dB]"), ("ssim", "SSIM")), strict=True):
        values = {method: _by_patient(mine, method, name) for method in methods}
        for patient in values[methods[0]]:
            line = [values[method][patient] for method in methods]
            axis.plot(range(len(methods)), line, color="#999999", lw=0.5, alpha=0.6, zorder=1)
        for place, method in enumerate(methods):
            colour, marker = _STYLES[place % len(_STYLES)]
            dots = list(values[method].values())
            axis.plot([place] * len(dots), dots, marker, color=colour, ms=4, alpha=0.7, ls="", zorder=2)
            mean = bootstrap_mean(_tensor(dots), _SEED)
            if mean.low == mean.low:
                axis.errorbar(place + 0.18, mean.mean, [[mean.mean - mean.low], [mean.high - mean.mean]], fmt="_k",
                              capsize=3, zorder=3)  # fmt: skip
        axis.set_xticks(range(len(methods)), [method.replace(" ", "\n") for method in methods], fontsize=7)
        axis.set_xlim(-0.5, len(methods) - 0.5)
        axis.set_ylabel(title)
        axis.grid(axis="y", alpha=0.3)
    figure.suptitle(
        f"{data.capitalize()} data: {way[1]}, {way[2]} target {way[3]}, protocol {way[0]}, as stored\n"
        "a dot per patient; bars: mean and 95 % bootstrap interval",
        fontsize=8,
    )
    return figure


def draw_agreement(rows: Sequence[MeasureScore], method: str) -> Figure | None:
    """Bland and Altman's plot (Lancet 1986) of one measure: difference over mean of prediction and target.

    The measure is the fat-suppression ratio, or the first of a fixed list that was measured in at least three cases.

    Raises:
        UsageError: rows of simulated and of acquired data.
    """
    mine = [row for row in rows if row.method == method]
    for measure in _AGREEING:
        part = [row for row in mine if row.measure == measure]
        part = [row for row in part if (row.reference, row.registration) == (part[0].reference, part[0].registration)]
        if len(part) >= 3:
            break
    else:
        return None
    data = one_kind(row.data for row in part)
    made, asked = (np.array([getattr(row, name) for row in part]) for name in ("prediction", "target"))
    difference, mean = made - asked, (made + asked) / 2
    bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    figure = _figure((4.6, 3.4))
    axis: Axes = figure.subplots()
    axis.plot(mean, difference, "o", color=_STYLES[0][0], ms=4)
    axis.axhline(0.0, color="#999999", lw=0.6)
    axis.margins(x=0.25)  # room for the words at the right
    lines = ((bias, "-", "bias"), (bias - spread, "--", "-1.96 SD"), (bias + spread, "--", "+1.96 SD"))
    for height, style, word in lines:
        axis.axhline(height, color="#333333", ls=style, lw=0.9)
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom", "fontsize": 7}
        axis.annotate(f"{word} {height:+.3f}", (1.0, height), **place)
    axis.set(xlabel=f"{measure}: mean of prediction and target", ylabel="prediction minus target")
    axis.grid(alpha=0.3)
    regions = f", regions {part[0].regions}" if part[0].regions else ""
    axis.set_title(f"{data.capitalize()} data: {part[0].direction}, a dot per image{regions}", fontsize=8)
    return figure


def save_figure(figure: Figure, folder: Path, name: str) -> list[str]:
    """Write a figure as ``<name>.png`` (300 dpi) and ``<name>.pdf``; returns the names."""
    figure.savefig(folder / f"{name}.png", dpi=DPI, metadata={"Software": None})
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return [f"{name}.png", f"{name}.pdf"]


def screen_png(path: Path) -> bytes:
    """A written figure for a page, smaller."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(path) as picture:
        size = (picture.width * SCREEN_DPI // DPI, picture.height * SCREEN_DPI // DPI)
        picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(stream, format="png", optimize=True)
    return stream.getvalue()


def _by_patient(rows: Sequence[CaseScore], method: str, name: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in rows:
        if row.method == method:
            values.setdefault(row.patient, []).append(row.scores[name])
    return {patient: sum(own) / len(own) for patient, own in values.items()}


def _tensor(values: Sequence[float]) -> Any:
    import torch

    return torch.tensor(values, dtype=torch.float64)


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
