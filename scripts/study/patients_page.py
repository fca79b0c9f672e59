# SPDX-License-Identifier: Apache-2.0
"""How many patients it takes, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scripts.handlers.files import write_atomically
from scripts.study.page import DIRECTIONS
from scripts.study.patients import ELSEWHERE, FINETUNED, HOME, SCRATCH, SHIPPED, Learned

_ASIDE = (0.97, 1.03)
_STYLES = {FINETUNED: ("#0072B2", "o"), SCRATCH: ("#D55E00", "s")}
_SIZE = (10.0, 4.2)


REFERENCES = ("noisy", "clean")


def patients_table(lines: Sequence[Learned], reference: str) -> str:
    """A row for each number of patients: dB on other patients of the new scanner, and what the old one loses.

    Args:
        lines: of the learning curve.
        reference: of `REFERENCES`.
    """
    lines = [one for one in lines if one.reference == reference]
    head = ["weights", "patients", "seed"]
    for direction in DIRECTIONS:
        head += [f"{direction}: PSNR dB [95 %]", "over shipped", "original scanner, over shipped"]
    rows = []
    for start, patients, seed in dict.fromkeys((one.start, one.patients, one.seed) for one in lines):
        cells = [start, str(patients or ""), str(seed) if patients else ""]
        for direction in DIRECTIONS:
            there, home = (
                next(
                    one
                    for one in lines
                    if (one.start, one.patients, one.seed, one.scanner, one.direction)
                    == (start, patients, seed, scanner, direction)
                )
                for scanner in (ELSEWHERE, HOME)
            )
            cells.append(f"{there.psnr:.2f} [{there.low:.2f}, {there.high:.2f}]")
            cells += [_gain(there), _gain(home)]
        rows.append(cells)
    text = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([text[0], "|" + "---|" * len(head), *text[1:]]) + "\n"


def _gain(one: Learned) -> str:
    return "" if one.start == SHIPPED else f"{one.gain:+.2f} [{one.gain_low:+.2f}, {one.gain_high:+.2f}]"


def draw_patients(lines: Sequence[Learned], path: Path) -> None:
    """PSNR on other patients of the new scanner, against what was acquired, over the number of patients.

    Args:
        lines: of the learning curve.
        path: the picture.
    """
    figure = Figure(figsize=_SIZE, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    for axis, direction in zip(figure.subplots(1, 2), DIRECTIONS, strict=True):
        mine = [
            one for one in lines if (one.direction, one.scanner, one.reference) == (direction, ELSEWHERE, REFERENCES[0])
        ]
        for (start, (colour, marker)), aside in zip(_STYLES.items(), _ASIDE, strict=True):
            points = sorted((one.patients, one.psnr, one.low, one.high) for one in mine if one.start == start)
            if points:
                sizes, values, lows, highs = zip(*points, strict=True)
                spread = [[v - low for v, low in zip(values, lows, strict=True)]]
                spread += [[high - v for v, high in zip(values, highs, strict=True)]]
                beside = [size * aside for size in sizes]  # so that intervals do not hide each other
                axis.errorbar(beside, values, spread, color=colour, marker=marker, capsize=3, label=start)
        for one in mine:
            if one.start == SHIPPED:
                axis.axhline(one.psnr, color="#222222", ls="--", lw=1, label="shipped weights")
        axis.set(
            xscale="log",
            title=direction,
            xlabel="patients of the new scanner",
            ylabel="PSNR [dB], simulated, noisy target",
        )
        sizes_seen = sorted({one.patients for one in mine if one.patients})
        axis.set_xticks(sizes_seen, [str(size) for size in sizes_seen])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    write_atomically(path, lambda stream: figure.savefig(stream, format="png"))
