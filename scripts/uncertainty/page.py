# SPDX-License-Identifier: Apache-2.0
"""The tables of ``docs/UNCERTAINTY.md``."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.handlers.files import write_text_atomically
from scripts.intervals.calibration import Calibration
from scripts.uncertainty.measure import AREA, CHANCE, FOUND, LARGE_ERROR, WHOLE, Line, Value, numbers
from scripts.uncertainty.oedema import Oedema

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
LEAST, MOST = 0.85, 0.95
"""Between which a 90 % interval has to cover in each tissue."""
LEAST_PATIENTS = 10
"""Of a tissue, or it is too rare to say."""


def tables(
    lines: Sequence[Line],
    values: Sequence[Value],
    oedema: Mapping[str, Oedema],
    calibration: Calibration,
    weights: str,
    tried: str,
) -> str:
    """All that was measured, as Markdown.

    Args:
        lines: coverage and width.
        values: that they come from.
        oedema: by the words for which ones.
        calibration: that was used.
        weights: start of the hash of the synthesis's weights.
        tried: which patients were measured.
    """
    made = "; ".join(f"{name} {value}" for name, value in calibration.made.items())
    parts = [
        f"Simulated patients. Weights {weights}, head {calibration.head_sha256[:12]}. Calibrated for "
        f"{calibration.level:.0%} on {', '.join(f'{n} for {t}' for t, n in calibration.patients.items())} ({made}). "
        f"Measured on others: {tried}. Truth: {calibration.reference}.",
        _coverage(lines),
        _verdict(lines),
        _detection(values),
        _oedema(oedema),
    ]
    return "\n\n".join(parts)


def _coverage(lines: Sequence[Line]) -> str:
    head = "| made | tissue | patients | voxels | coverage [95 %] | worst patient | half width, % of muscle |"
    rows = [head, "|---|---|---|---|---|---|---|"]
    for one in lines:
        if not one.patients:
            rows.append(f"| {one.target} | {one.tissue} | 0 | 0 | | | |")
            continue
        share = f"{100 * one.coverage:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}]"
        rows.append(
            f"| {one.target} | {one.tissue} | {one.patients} | {one.voxels} | {share} | {100 * one.least:.0f} % "
            f"| {one.width:.0f} |"
        )
    return "\n".join(rows)


def outside(lines: Sequence[Line]) -> list[Line]:
    """Tissues that enough patients have, and whose coverage is not what it has to be."""
    told = [one for one in lines if one.patients >= LEAST_PATIENTS]
    return [one for one in told if not LEAST <= one.coverage <= MOST]


def _verdict(lines: Sequence[Line]) -> str:
    wrong = outside(lines)
    rare = sorted({one.tissue for one in lines if one.patients < LEAST_PATIENTS})
    said = (
        f"Every tissue and direction is covered between {LEAST:.0%} and {MOST:.0%}."
        if not wrong
        else f"Outside of {LEAST:.0%} to {MOST:.0%}: "
        + "; ".join(f"{one.tissue}, {one.target}: {one.coverage:.1%}" for one in wrong)
        + "."
    )
    return said + (f" Too rare to say: {', '.join(rare)}." if rare else "")


def _detection(values: Sequence[Value]) -> str:
    rows = [
        f"| made | sparsification error (chance) | AUROC of an error above {LARGE_ERROR:g} of the bright end |",
        "|---|---|---|",
    ]
    for target in dict.fromkeys(one.target for one in values):
        area, chance, found = (numbers(values, target, WHOLE, name) for name in (AREA, CHANCE, FOUND))
        found = [one for one in found if not math.isnan(one)]
        rows.append(
            f"| {target} | {statistics.fmean(area):.3f} ({statistics.fmean(chance):.3f}) "
            f"| {statistics.fmean(found):.3f} |"
        )
    return "\n".join(rows)


def _oedema(oedema: Mapping[str, Oedema]) -> str:
    if not oedema:
        return "Oedema was not measured in this run."
    rows = [
        "| marrow oedema | knees | AUROC of the half width, with against without | wider with oedema "
        "| median change | missed signal within the half width |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in oedema.items():
        rows.append(
            f"| {name} | {one.knees} | {one.auroc:.2f} | {one.rises:.0%} | {one.change:+.1%} | {one.covered:.0%} |"
        )
    return "\n".join(rows)


def put_into(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page.

    Raises:
        ValueError: the page has no marks.
    """
    content = page.read_text(encoding="utf-8")
    if BEGIN not in content or END not in content:
        raise ValueError(f"{page.name} has no place for the tables; need {BEGIN} and {END} in it.")
    before, after = content.partition(BEGIN)[0], content.partition(END)[2]
    write_text_atomically(page, f"{before}{BEGIN}\n{text}\n{END}{after}")
