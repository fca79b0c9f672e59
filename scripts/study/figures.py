# SPDX-License-Identifier: Apache-2.0
"""The study's figures: how cross falls, and what quality costs in leakage and in arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scripts.handlers.files import write_atomically
from scripts.networks import STRATEGIES
from scripts.study.curves import Epoch
from scripts.study.detection import IMAGES, Detected
from scripts.study.page import DIRECTIONS
from scripts.study.table import Line, RowCost

# Okabe and Ito's colours and markers of their own: told apart without colour too.
_STYLES = (
    ("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"),
    ("#222222", "X"), ("#999999", "*"),
)  # fmt: skip
_ROUNDS: tuple[dict[str, Any], ...] = ({}, {"fillstyle": "none"}, {"markeredgecolor": "black"})
"""What tells the rounds of these styles apart."""
_SIZE = (10.0, 4.2)


def draw_cross_curves(epochs: Sequence[Epoch], path: Path) -> None:
    """Cross loss over epochs: the strategies on the left, ``zero_skip`` with one factor changed on the right.

    Every seed is a line. Rows whose images are compared by the absolute difference alone are left out, since their
    loss has another scale.

    Args:
        epochs: of all cells.
        path: the picture.
    """
    figure, axes = _figure(2)
    names = list(dict.fromkeys(one.row for one in epochs if one.squared))
    panels = ([row for row in names if row in STRATEGIES], [row for row in names if row.startswith("zero_skip")])
    for axis, shown, title in zip(axes, panels, ("Strategies", "zero_skip, one factor at a time"), strict=True):
        for row, (colour, marker) in zip(shown, _STYLES * 2, strict=False):
            label: str | None = row
            for seed in sorted({one.seed for one in epochs if one.row == row}):
                curve = [(one.epoch, one.cross) for one in epochs if (one.row, one.seed) == (row, seed)]
                axis.plot(*zip(*curve, strict=True), color=colour, marker=marker, markersize=3, lw=1.2, label=label)
                label = None
        axis.set(title=title, xlabel="epoch of equal arithmetic", ylabel="cross loss in training")
        axis.grid(alpha=0.3)
        if shown:
            axis.legend(fontsize=7)
    _save(figure, path)


def draw_quality(
    lines: Sequence[Line], costs: Sequence[RowCost], rows: Sequence[str], leak: Path, compute: Path
) -> None:
    """PSNR against noise leakage, and against the arithmetic of a slice, one panel per direction.

    Args:
        lines: of the study.
        costs: of its rows.
        rows: which to draw.
        leak: the first picture.
        compute: the second.
    """
    by_key = {(line.row, line.direction, line.measure): line for line in lines}
    flops = {cost.row: cost.slice_gflop for cost in costs}
    for path, measure in ((leak, "nli_muscle_snr10"), (compute, "")):
        figure, axes = _figure(2)
        shown = [row for row in rows if row in flops and (row, DIRECTIONS[0], "psnr") in by_key]
        for axis, direction in zip(axes, DIRECTIONS, strict=True):
            for number, row in enumerate(shown):
                colour, marker = _STYLES[number % len(_STYLES)]
                round_ = _ROUNDS[number // len(_STYLES) % len(_ROUNDS)]
                quality = by_key.get((row, direction, "psnr"))
                leaking = by_key.get((row, direction, measure))
                along = flops.get(row) if not measure else leaking.mean if leaking else None
                if quality is None or along is None:
                    continue
                spread = [[quality.mean - quality.low], [quality.high - quality.mean]]
                bars = axis.errorbar(
                    along, quality.mean, spread, color=colour, marker=marker, capsize=2, lw=0.8, ls="", **round_
                )
                bars.set_label(row)
            if measure:
                _mark_wiener(axis, by_key, direction)
            axis.set(title=direction, ylabel="PSNR, clean target [dB]")
            axis.set_xlabel("noise leakage in muscle at SNR 10" if measure else "GFLOP per slice")
            axis.grid(alpha=0.3)
        if axes[0].get_legend_handles_labels()[0]:
            figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=7)
        _save(figure, path)


def draw_detection(told: Sequence[Detected], path: Path) -> None:
    """Detectability of each kind and size of lesion, on PD, on synthetic and on acquired PDFS.

    Args:
        told: one line per kind, size and image.
        path: the picture.
    """
    kinds = list(dict.fromkeys((one.kind, one.size) for one in told))
    figure = Figure(figsize=(10.0, 0.32 * len(kinds) + 1.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for image, (colour, marker), shift in zip(IMAGES, _STYLES, (-0.2, 0.0, 0.2), strict=False):
        shown = [one for one in told if one.image == image]
        places = [kinds.index((one.kind, one.size)) + shift for one in shown]
        values = [one.held_out for one in shown]
        bars = [[0.0] * len(shown), [max(0.0, one.resubstituted - one.held_out) for one in shown]]
        axis.errorbar(values, places, xerr=bars, color=colour, marker=marker, ls="", capsize=2, label=image)
    axis.set_yticks(range(len(kinds)), [f"{kind.replace('_', ' ')}, {size}" for kind, size in kinds], fontsize=8)
    axis.invert_yaxis()
    axis.axvline(0, color="#777777", lw=0.8)
    axis.set_xlabel("detectability d': marker held out (too low), whisker resubstituted (too high)")
    axis.set_title("Simulated lesions, present or absent in one knee")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    _save(figure, path)


def _mark_wiener(axis: Axes, by_key: dict[tuple[str, str, str], Line], direction: str) -> None:
    reference = next((line for key, line in by_key.items() if key[1:] == (direction, "wiener_muscle_snr10")), None)
    if reference is not None:
        axis.axvline(reference.mean, color="#777777", ls="--", lw=1)
        axis.annotate("Wiener", (reference.mean, 0.02), xycoords=("data", "axes fraction"), fontsize=7, color="#777777")


def _figure(columns: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=_SIZE, dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False).flatten().tolist()


def _save(figure: Figure, path: Path) -> None:
    write_atomically(path, lambda stream: figure.savefig(stream, format="png"))
