# SPDX-License-Identifier: Apache-2.0
"""The study's tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.study.grid import Grid
from scripts.study.table import LESION_SLOPE, Line, RowCost

DIRECTIONS = ("PD to PDFS", "PDFS to PD")
_COLUMNS = (
    ("psnr", "PSNR dB [95 %]", 2),
    ("psnr_gain_matched", "gain matched", 2),
    ("ssim", "SSIM", 3),
    ("edge", "edges", 2),
    ("nli_muscle_snr10", "leak muscle, SNR 10", 2),
    ("nli_muscle_snr3", "SNR 3", 2),
    ("nli_cartilage_snr10", "leak cartilage, SNR 10", 2),
    ("nli_cartilage_snr3", "SNR 3", 2),
    (LESION_SLOPE, "lesion slope", 2),
    ("blobs", "blobs", 1),
)
_WITH_INTERVAL = ("psnr", LESION_SLOPE)


def quality_tables(lines: Sequence[Line], default: str) -> str:
    """One table per direction: quality, sharpness, leakage and lesions of each row."""
    blocks = []
    for direction in DIRECTIONS:
        by_row: dict[str, dict[str, Line]] = {}
        for line in lines:
            if line.direction == direction:
                by_row.setdefault(line.row, {})[line.measure] = line
        head = ["row", "seeds", *(title for _, title, _ in _COLUMNS[:1]), f"over {default}", "seeds from, to"]
        head += [title for _, title, _ in _COLUMNS[1:]]
        rows = [_row(row, measures, default) for row, measures in by_row.items()]
        wiener = next(iter(by_row.values()), {})
        reference = [_wiener(wiener, name, digits) for name, _, digits in _COLUMNS[1:]]
        rows.append(["*Wiener filter of the source*", "", "", "", "", *reference])
        blocks.append(f"### {direction}\n\n{_markdown(head, rows)}")
    return "\n\n".join(blocks) + "\n"


def cost_table(costs: Sequence[RowCost], grid: Grid) -> str:
    """What each row costs, at which scale and on what."""
    size = " x ".join(map(str, grid.shape[1:]))
    head = ["row", "parameters, M", f"GFLOP per slice of {size}", "GFLOP per step and slice"]
    head += ["steps", "TFLOP", "minutes"]
    rows = []
    for cost in costs:
        cells = [cost.row, f"{cost.parameters / 1e6:.2f}", f"{cost.slice_gflop:.2f}", f"{cost.step_gflop:.2f}"]
        cells += [f"{cost.steps}", f"{cost.budget_tflop:.0f}"]
        rows.append([*cells, f"{cost.minutes:.1f}" if cost.minutes == cost.minutes else ""])
    return _markdown(head, rows) + "\n"


def _row(row: str, measures: dict[str, Line], default: str) -> list[str]:
    first = measures["psnr"]
    gain = f"{first.difference:+.2f} [{first.difference_low:+.2f}, {first.difference_high:+.2f}]"
    known = row != default and first.difference == first.difference
    cells = [row, str(first.seeds), _interval(first, 2), gain if known else ""]
    cells.append(f"{first.seed_low:.2f}, {first.seed_high:.2f}" if first.seeds > 1 else "")
    for name, _, digits in _COLUMNS[1:]:
        line = measures.get(name)
        if line is None:
            cells.append("")
        else:
            cells.append(_interval(line, digits) if name in _WITH_INTERVAL else f"{line.mean:.{digits}f}")
    return cells


def _wiener(measures: dict[str, Line], name: str, digits: int) -> str:
    line = measures.get(name.replace("nli_", "wiener_")) if name.startswith("nli_") else None
    return "" if line is None else f"{line.mean:.{digits}f}"


def _interval(line: Line, digits: int) -> str:
    return f"{line.mean:.{digits}f} [{line.low:.{digits}f}, {line.high:.{digits}f}]"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
