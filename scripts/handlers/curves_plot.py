# SPDX-License-Identifier: Apache-2.0
"""``curves.png``: small multiples of a run's table. Imports matplotlib, so it is itself imported late."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scripts.handlers.files import write_atomically

Rows = Sequence[dict[str, float]]

# Okabe and Ito's colours, told apart by colour-blind readers too. One colour means one thing in the whole picture.
COLOURS = {
    "loss": "#222222",
    "content": "#56B4E9",
    "recon": "#E69F00",
    "cross": "#009E73",
    "val_cross": "#CC79A7",
    "lr": "#222222",
}
DIRECTIONS = ("#0072B2", "#D55E00", "#009E73", "#222222")
GREY = "#777777"


def draw_curves(rows: Rows, path: Path) -> None:
    """Draw losses, cross loss of training and validation, PSNR and SSIM of both directions, and learning rate.

    Panels without data are left out. The best validation epoch is marked.

    Args:
        rows: the table, one mapping per epoch.
        path: the picture, written atomically.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    panels = [
        ("Training loss", "mean over the epoch", ["loss", "content", "recon", "cross"], False),
        ("Cross loss", "mean absolute error", ["cross", "val_cross"], False),
        ("PSNR on validation", "dB", [name for name in names if name.startswith("psnr_")], True),
        ("SSIM on validation", "", [name for name in names if name.startswith("ssim_")], True),
        ("Learning rate", "", ["lr"], False),
    ]
    panels = [panel for panel in panels if any(name in names for name in panel[2])]
    if "val_cross" not in names:
        panels = [panel for panel in panels if panel[0] != "Cross loss"]
    columns = 2 if len(panels) == 4 else min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.1 * columns, 2.9 * lines), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    best = _best(rows)
    axes = figure.subplots(lines, columns, squeeze=False).flatten().tolist()
    for axis, (title, unit, series, validated) in zip(axes, panels, strict=False):
        _panel(axis, rows, title, unit, [name for name in series if name in names])
        if title == "Learning rate" and min(row["lr"] for row in rows if "lr" in row) > 0:
            axis.set_yscale("log")
        if validated and best is not None:
            axis.axvline(best, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
            axis.annotate(
                f"best {best:.0f}",
                (best, 0.02),
                xycoords=("data", "axes fraction"),
                fontsize=7,
                color=GREY,
                xytext=(3, 0),
                textcoords="offset points",
            )
    for axis in axes[len(panels) :]:
        axis.remove()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_atomically(path, lambda stream: stream.write(buffer.getvalue()))


def _panel(axis: Axes, rows: Rows, title: str, unit: str, series: Sequence[str]) -> None:
    for number, name in enumerate(series):
        colour = COLOURS.get(name, DIRECTIONS[number % len(DIRECTIONS)])
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        marker = "o" if len(points) < 25 else ""
        epochs, values = zip(*points, strict=True)
        axis.plot(epochs, values, color=colour, linewidth=1.6, marker=marker, markersize=2.8, label=_label(name, title))
    axis.set_title(title, fontsize=9, loc="left")
    axis.set_xlabel("epoch", fontsize=8)
    axis.set_ylabel(unit, fontsize=8)
    axis.tick_params(labelsize=7, length=2.5, color=GREY)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(GREY)
    axis.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.margins(x=0.03)
    first, last = rows[0]["epoch"], rows[-1]["epoch"]
    room = max(0.4, 0.03 * (last - first))
    axis.set_xlim(first - room, last + room)  # the same in every panel, also where validation began late
    if len(series) > 1 or series[0] != "lr":
        axis.legend(frameon=False, fontsize=7, handlelength=1.4)


def _label(name: str, title: str) -> str:
    if title == "Cross loss":
        return "validation" if name.startswith("val_") else "training"
    if name == "loss":
        return "weighted sum"
    return name.removeprefix("psnr_").removeprefix("ssim_").replace("_to_", " to ").replace("_", " ")


def _best(rows: Rows) -> float | None:
    judged = [row for row in rows if "val_psnr" in row]
    return max(judged, key=lambda row: row["val_psnr"])["epoch"] if judged else None
