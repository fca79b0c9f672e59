# SPDX-License-Identifier: Apache-2.0
"""The study's tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.study.curves import Epoch
from scripts.study.detection import IMAGES, Detected, Recovered
from scripts.study.foreseen import Foreseen
from scripts.study.grid import Grid
from scripts.study.measure import CHANGE, FLOOR
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


def quality_table(lines: Sequence[Line], direction: str, default: str) -> str:
    """Quality, sharpness, leakage and lesions of each row in one direction.

    Args:
        lines: of the study.
        direction: one of `DIRECTIONS`.
        default: the row that differences are to.
    """
    by_row = _by_row(lines, direction)
    head = [
        "row",
        "seeds",
        _COLUMNS[0][1],
        f"over {default}",
        "seeds from, to",
        *(title for _, title, _ in _COLUMNS[1:]),
    ]
    rows = [_row(row, measures, default) for row, measures in by_row.items() if "psnr" in measures]
    known = next(iter(by_row.values()), {})
    rows.append(
        ["*Wiener filter of the source*", "", "", "", "", *(_wiener(known, name, d) for name, _, d in _COLUMNS[1:])]
    )
    return _markdown(head, rows)


def stability_table(lines: Sequence[Line], direction: str) -> str:
    """How far each row's synthesis moves when its source is changed: share of its own size, over that of a copy."""
    by_row = _by_row(lines, direction)
    changes = dict.fromkeys(
        measure.removeprefix(CHANGE)
        for measures in by_row.values()
        for measure in measures
        if measure.startswith(CHANGE)
    )
    rows = []
    floors: dict[str, float] = {}
    for row, measures in by_row.items():
        if f"{CHANGE}{next(iter(changes), '')}" not in measures:
            continue
        floors |= {change: measures[f"{FLOOR}{change}"].mean for change in changes}
        rows.append([row, *(f"{measures[f'{CHANGE}{change}'].mean:.3f}" for change in changes)])
    rows.append(["*copy of the source*", *(f"{floors[change]:.3f}" for change in changes if change in floors)])
    return _markdown(["row", *changes], rows)


def curve_table(epochs: Sequence[Epoch]) -> str:
    """Cross of some epochs, and the share of the first epoch's that the last has lost; mean over seeds."""
    last = max((one.epoch for one in epochs), default=1)
    shown = sorted({1, max(1, last // 4), max(1, last // 2), last})
    rows = []
    for row in dict.fromkeys(one.row for one in epochs):
        mine = [one for one in epochs if one.row == row]
        if max(one.epoch for one in mine) < last:
            continue
        cross, recon = (
            {epoch: _mean([getattr(one, term) for one in mine if one.epoch == epoch]) for epoch in shown}
            for term in ("cross", "recon")
        )
        drops = [f"{1 - losses[last] / losses[1]:.0%}" if losses[1] == losses[1] else "" for losses in (cross, recon)]
        kind = "smooth" if mine[0].squared else "absolute"
        rows.append(
            [row, str(len({one.seed for one in mine})), kind, *(f"{cross[epoch]:.4f}" for epoch in shown), *drops]
        )
    head = [
        "row",
        "seeds",
        "difference",
        *(f"cross, epoch {epoch}" for epoch in shown),
        "cross fell by",
        "recon fell by",
    ]
    return _markdown(head, rows)


def cost_table(costs: Sequence[RowCost], grid: Grid) -> str:
    """What each row costs, and at which scale."""
    size = " x ".join(map(str, grid.shape[1:]))
    head = ["row", "parameters, M", f"GFLOP per slice of {size}", "GFLOP per step and slice"]
    head += ["steps", "TFLOP", "seconds per volume", "peak GiB"]
    rows = []
    for cost in costs:
        cells = [cost.row, f"{cost.parameters / 1e6:.2f}", f"{cost.slice_gflop:.2f}", f"{cost.step_gflop:.2f}"]
        cells += [f"{cost.steps}", f"{cost.budget_tflop:.0f}"]
        rows.append(cells + [f"{value:.2f}" if value == value else "" for value in (cost.seconds, cost.peak_gib)])
    return _markdown(head, rows)


def detection_table(told: Sequence[Detected]) -> str:
    """Detectability of each kind and size of lesion on each image."""
    head = ["lesion", "size", "knees", *(f"{image}: d'" for image in IMAGES), *(f"{image}: area" for image in IMAGES)]
    found: dict[tuple[str, str], dict[str, Detected]] = {}
    for one in told:
        found.setdefault((one.kind, one.size), {})[one.image] = one
    rows = []
    for (kind, size), images in found.items():
        first = images[IMAGES[0]]
        name = f"{size}, up to {first.up_to:.0f} mm"
        areas = [f"{images[image].area:.2f}" for image in IMAGES]
        rows.append(
            [_words(kind), name, str(first.knees), *(f"{images[image].held_out:.1f}" for image in IMAGES), *areas]
        )
    return _markdown(head, rows)


def recovery_table(found: Sequence[Recovered], foretold: Sequence[Foreseen] = ()) -> str:
    """Contrast recovery of each kind of lesion, for those that PD shows and those that it does not.

    Args:
        found: by kind and visibility.
        foretold: slopes of other protocols in the same knees, as a last column; none leaves it out.
    """
    head = ["lesion", "shown by PD", "slope [95 %]", "not shown by PD", "slope [95 %]"]
    others = {one.kind: f"{one.slope:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in foretold}
    head += ["another protocol: slope [95 %]"] if others else []
    rows = []
    for kind in dict.fromkeys(one.kind for one in found):
        cells = [_words(kind)]
        for visible in (True, False):
            (one,) = [one for one in found if (one.kind, one.visible) == (kind, visible)]
            slope = f"{one.slope:.2f} [{one.low:.2f}, {one.high:.2f}]"
            cells += [str(one.lesions), slope if one.slope == one.slope else ""]
        rows.append(cells + ([others.get(kind, "")] if others else []))
    return _markdown(head, rows)


def _words(kind: str) -> str:
    return kind.replace("_", " ")


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
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _by_row(lines: Sequence[Line], direction: str) -> dict[str, dict[str, Line]]:
    found: dict[str, dict[str, Line]] = {}
    for line in lines:
        if line.direction == direction:
            found.setdefault(line.row, {})[line.measure] = line
    return found
