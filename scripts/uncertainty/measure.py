# SPDX-License-Identifier: Apache-2.0
"""Coverage, width and error detection of a calibrated head, patient by patient."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from scripts.intervals.calibration import Calibration
from scripts.uncertainty.cohort import Case, inside
from scripts.uncertainty.measures import coverage, error_auroc, sparsification
from scripts.uncertainty.tissues import TISSUES, tissue_masks

LARGE_ERROR = 0.1
"""Of the bright end: an error that anybody sees."""
LEAST_VOXELS = 100
"""Of a tissue that a patient needs to be counted for it."""
WHOLE = "whole body"

COVERED, WIDTH, VOXELS, AREA, CHANCE, FOUND = "coverage", "width", "voxels", "ause", "ause of chance", "auroc"


@dataclass(frozen=True)
class Value:
    """One number of one patient.

    Args:
        patient: of the cohort.
        target: contrast that was synthesised.
        tissue: of `TISSUES`, or `WHOLE`.
        measure: its name.
        value: of it.
    """

    patient: str
    target: str
    tissue: str
    measure: str
    value: float


@dataclass(frozen=True)
class Line:
    """One tissue and direction over patients.

    Args:
        target: contrast that was synthesised.
        tissue: of `TISSUES`, or `WHOLE`.
        patients: with at least `LEAST_VOXELS` of it.
        voxels: in all.
        coverage: mean over patients.
        low: 95 % interval of that mean, normal.
        high: of it.
        least: covered in the worst patient.
        width: mean half width over patients, percent of the patient's mean muscle signal.
    """

    target: str
    tissue: str
    patients: int
    voxels: int
    coverage: float
    low: float
    high: float
    least: float
    width: float


def measure(found: Iterable[Case], calibration: Calibration, cache_dir: Path) -> list[Value]:
    """Measure each patient and direction.

    Args:
        found: patients that neither training nor calibration saw.
        calibration: of the head that made their scales.
        cache_dir: of tissue maps.
    """
    values = []
    for case in found:
        pair = case.pair
        width = calibration.half_width(pair.scale, pair.seen, pair.target)
        error = pair.truth - pair.prediction
        masks = tissue_masks(case.patient, cache_dir, case.every)
        muscle = float(pair.truth[masks["muscle"]].mean()) if masks["muscle"].any() else math.nan

        measured: dict[str, dict[str, float]] = {}
        for tissue, mask in {WHOLE: pair.body, **masks}.items():
            if int(mask.sum()) >= LEAST_VOXELS:
                measured[tissue] = {
                    VOXELS: float(mask.sum()),
                    COVERED: coverage(error[mask], width[mask]),
                    WIDTH: 100 * float(width[mask].mean()) / muscle,
                }
        errors, scales = inside(pair)
        area, chance = sparsification(errors, scales)
        measured[WHOLE] |= {AREA: area, CHANCE: chance, FOUND: error_auroc(errors, scales, LARGE_ERROR)}
        values += [
            Value(pair.patient, pair.target, tissue, name, value)
            for tissue, numbers_ in measured.items()
            for name, value in numbers_.items()
        ]
    return values


def lines_of(values: Sequence[Value]) -> list[Line]:
    """One line for each direction and tissue, the rarer ones too."""
    lines = []
    for target in dict.fromkeys(one.target for one in values):
        for tissue in (WHOLE, *TISSUES):
            covered, width, voxels = (numbers(values, target, tissue, name) for name in (COVERED, WIDTH, VOXELS))
            if not covered:
                lines.append(Line(target, tissue, 0, 0, *[math.nan] * 5))
                continue
            mean = statistics.fmean(covered)
            error = 1.96 * statistics.stdev(covered) / math.sqrt(len(covered)) if len(covered) > 1 else math.nan
            lines.append(
                Line(
                    target,
                    tissue,
                    len(covered),
                    int(sum(voxels)),
                    mean,
                    mean - error,
                    min(mean + error, 1.0),
                    min(covered),
                    statistics.fmean(width),
                )
            )
    return lines


def numbers(values: Sequence[Value], target: str, tissue: str, measure: str) -> list[float]:
    """One measure over patients."""
    wanted = (target, tissue, measure)
    return [one.value for one in values if (one.target, one.tissue, one.measure) == wanted]


def write_values(values: Iterable[Value], path: Path) -> None:
    """Write the numbers of all patients as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(Value)], lineterminator="\n")
        writer.writeheader()
        for one in values:
            writer.writerow({**asdict(one), "value": f"{one.value:.6g}"})
