# SPDX-License-Identifier: Apache-2.0
"""How often the gate warns: of sound scans by mistake, and of each artefact by its grade."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from scripts.calibration.measured import CHECK, REAL, Measured
from scripts.calibration.scans import PLANES, SOUND
from scripts.quality.judge import Judgement, judge
from scripts.quality.limits import Limits
from scripts.simulation.study import CONTRASTS

OTHER = "other contrast"
"""A sound scan that is taken for the other contrast."""

SHOWN = ("snr", "polarity", "void_mm2", "ghosts", "jumps_mm")
UNITS = {
    "none": "",
    "as drawn": "",
    OTHER: "",
    "noise": "muscle at {:g} times the noise",
    "ghosts": "{:g} rad between excitations",
    "jumps": "every other slice {:g} mm off",
    "titanium": "{:g} mm",
    "cobalt-chromium": "{:g} mm",
    REAL: "TE {:g} ms",
}

_BEGIN, _END = "<!-- gate -->", "<!-- /gate -->"


@dataclass(frozen=True)
class Line:
    """Scans of one kind: how many, the share that is refused, warned of, and warned of by each measure; medians.

    Args:
        contrast: that they are taken for.
        artefact: what is wrong with them.
        grade: of it.
        plane: of their slices; ``all`` for all of them.
        scans: how many.
        refused: share.
        warned: share with any warning, refused ones included.
        by: share outside of the limit of each measure of `SHOWN`.
        medians: of the measures.
    """

    contrast: str
    artefact: str
    grade: float
    plane: str
    scans: int
    refused: float
    warned: float
    by: tuple[float, ...]
    medians: tuple[float | None, ...]


def table_lines(rows: Sequence[Measured], limits: Limits) -> list[Line]:
    """Lines of all scans but those that the limits were found on."""
    tried = [row for row in rows if row.part in (CHECK, REAL)]
    lines = []
    for contrast in CONTRASTS:
        own = [row for row in tried if row.contrast == contrast]
        sound = [row for row in own if row.artefact == SOUND]
        for plane in PLANES:
            lines.append(_line([row for row in sound if row.plane == plane], contrast, SOUND, 0, plane, limits))
        swapped = [row for row in tried if row.artefact == SOUND and row.contrast != contrast]
        lines.append(_line(swapped, contrast, OTHER, 0, "all", limits))
        for artefact, grade in dict.fromkeys((row.artefact, row.grade) for row in own if row.artefact != SOUND):
            some = [row for row in own if (row.artefact, row.grade) == (artefact, grade)]
            lines.append(_line(some, contrast, artefact, grade, "all", limits))
    return [line for line in lines if line.scans]


def _line(rows: Sequence[Measured], contrast: str, artefact: str, grade: float, plane: str, limits: Limits) -> Line:
    judged = [judge(row.measures, contrast, _USUAL_MM, limits) for row in rows]
    values = [[getattr(row.measures, name) for row in rows] for name in SHOWN]
    known = [[value for value in some if value is not None] for some in values]
    return Line(
        contrast,
        artefact,
        grade,
        plane,
        len(rows),
        _share(bool(one.refusals) for one in judged),
        _share(bool(one.refusals or one.warnings) for one in judged),
        tuple(_share(_outside(one, name) for one in judged) for name in SHOWN),
        tuple(float(f"{statistics.median(some):.3g}") if some else None for some in known),
    )


_USUAL_MM = (3.5, 0.6, 0.6)  # so that no scan is warned of for its grid


def _outside(judgement: Judgement, name: str) -> bool:
    names = (name, "snr_in_body") if name == "snr" else (name,)  # of which a judgement lists one
    return any(not judgement.measures[one]["inside"] for one in names if one in judgement.measures)


def _share(found: Iterable[bool]) -> float:
    some = list(found)
    return round(sum(some) / len(some), 3) if some else 0.0


def write_table(lines: Iterable[Line], path: Path) -> None:
    """Write the lines as CSV."""
    plain = [one.name for one in fields(Line) if one.name not in ("by", "medians")]
    names = [*plain, *(f"outside_{name}" for name in SHOWN), *(f"median_{name}" for name in SHOWN)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for line in lines:
            writer.writerow([*(asdict(line)[name] for name in plain), *line.by, *line.medians])


def as_markdown(lines: Sequence[Line]) -> str:
    """The table of the page: shares in percent."""
    head = "| taken for | what is wrong | scans | refused | warned | noise | contrast | metal | ghosts | jumps |"
    found = [head, "|" + "---|" * head.count(" | ") + "---|"]
    for line in lines:
        wrong = {SOUND: f"nothing, {line.plane}"}.get(line.artefact, line.artefact)
        what = ", ".join(part for part in (wrong, UNITS[line.artefact].format(line.grade)) if part)
        shares = " | ".join(f"{100 * share:.0f} %" for share in (line.refused, line.warned, *line.by))
        found.append(f"| {line.contrast} | {what} | {line.scans} | {shares} |")
    return "\n".join(found)


def put_into(page: Path, table: str) -> None:
    """Replace what stands between the marks of a page.

    Raises:
        ValueError: the page has no marks.
    """
    text = page.read_text(encoding="utf-8")
    if _BEGIN not in text or _END not in text:
        raise ValueError(f"{page.name} has no place for the table; need {_BEGIN} and {_END} in it.")
    before, after = text.partition(_BEGIN)[0], text.partition(_END)[2]
    page.write_text(f"{before}{_BEGIN}\n{table}\n{_END}{after}", encoding="utf-8")
