# SPDX-License-Identifier: Apache-2.0
"""From the numbers of all cells to one line per row, direction and measure: means, intervals, differences."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from scripts.metrics.lesion import contrast_recovery
from scripts.metrics.summary import Estimate, bootstrap_mean
from scripts.study.grid import Grid
from scripts.study.measure import Measured, MeasuredLesion
from scripts.study.measure_cell import is_measured, read_measured
from scripts.study.timing import Timing
from scripts.study.train_cell import TRAINED

LESION_SLOPE = "lesion_slope"
"""Slope of predicted on true contrast over lesions that the clean source shows."""


@dataclass(frozen=True)
class Line:
    """One measure of one row in one direction.

    Args:
        row: of the grid, or a baseline.
        direction: as ``PD to PDFS``.
        measure: its name.
        knees: of how many knees.
        mean: over knees of the mean over seeds.
        low: of the 95 % bootstrap interval over knees.
        high: of it.
        seeds: how many trainings.
        seed_low: the lowest seed's mean over knees.
        seed_high: the highest seed's.
        difference: to the default row, knee by knee, averaged over the seeds of each; empty for the default.
        difference_low: of its interval.
        difference_high: of it.
    """

    row: str
    direction: str
    measure: str
    knees: int
    mean: float
    low: float
    high: float
    seeds: int
    seed_low: float
    seed_high: float
    difference: float
    difference_low: float
    difference_high: float


@dataclass(frozen=True)
class RowCost:
    """What a row costs.

    Args:
        row: of the grid.
        parameters: weights of the network, both directions.
        slice_gflop: billions of operations to synthesise one slice at the study's size.
        step_gflop: of one training step, per slice.
        steps: of training.
        budget_tflop: of all steps, in thousands of billions.
        seconds: to synthesise a volume, see `scripts.study.timing`; not a number where nobody looked.
        peak_gib: memory of that.
    """

    row: str
    parameters: int
    slice_gflop: float
    step_gflop: float
    steps: int
    budget_tflop: float
    seconds: float
    peak_gib: float


Values = dict[tuple[str, str], dict[str, float]]
"""By direction and measure, by knee: one number."""


def study_lines(grid: Grid, out: Path) -> list[Line]:
    """All lines of a study, of the cells and baselines that are measured."""
    rows: dict[str, list[tuple[list[Measured], list[MeasuredLesion]]]] = {}
    for folder in sorted((out / "baselines").glob("*")):
        if is_measured(folder):
            rows.setdefault(folder.name.replace("_", " "), []).append(read_measured(folder))
    for row in dict.fromkeys(cell.name for cell in grid.cells):
        folders = [out / "cells" / cell.key for cell in grid.cells if cell.name == row]
        if seeds := [read_measured(folder) for folder in folders if is_measured(folder)]:
            rows[row] = seeds
    by_row = {row: [_values(measured) for measured, _ in several] for row, several in rows.items()}
    reference = by_row.get(grid.default)
    lines = []
    for row, values in by_row.items():
        lines += _lines(row, values, None if row == grid.default else reference)
        lines += _slopes(row, [lesions for _, lesions in rows[row]])
    return lines


def study_costs(grid: Grid, out: Path, timings: Sequence[Timing]) -> list[RowCost]:
    """What each trained row costs; ``timings`` are those of `scripts.study.timing.read_timings`."""
    timed = {one.row: one for one in timings}
    found: dict[str, RowCost] = {}
    for cell in grid.cells:
        path = out / "cells" / cell.key / TRAINED
        if cell.name in found or not path.is_file():
            continue
        told = json.loads(path.read_text(encoding="utf-8"))
        found[cell.name] = RowCost(
            row=cell.name,
            parameters=int(told["parameters"]),
            slice_gflop=told["slice_flops"] / 1e9,
            step_gflop=told["step_flops"] / 1e9,
            steps=int(told["steps"]),
            budget_tflop=cell.budget / 1e12,
            seconds=timed[cell.name].seconds if cell.name in timed else math.nan,
            peak_gib=timed[cell.name].peak_gib if cell.name in timed else math.nan,
        )
    return list(found.values())


def _values(measured: Iterable[Measured]) -> Values:
    found: Values = {}
    for one in measured:
        found.setdefault((one.direction, one.measure), {})[one.patient] = one.value
    return found


def _lines(row: str, seeds: list[Values], reference: list[Values] | None) -> list[Line]:
    lines = []
    for direction, measure in seeds[0]:
        one = _over_seeds(seeds, (direction, measure))
        if not one:
            continue
        means = [_mean(seed[direction, measure]) for seed in seeds]
        estimate, gain = _estimate(one.values()), Estimate(*(float("nan"),) * 3)
        if reference is not None and (direction, measure) in reference[0]:
            other = _over_seeds(reference, (direction, measure))
            both = [knee for knee in one if knee in other]
            gain = _estimate([one[knee] - other[knee] for knee in both]) if both else gain
        lines.append(
            Line(
                row, direction, measure, len(one), estimate.mean, estimate.low, estimate.high,
                len(seeds), min(means), max(means), gain.mean, gain.low, gain.high,
            )
        )  # fmt: skip
    return lines


def _slopes(row: str, seeds: list[list[MeasuredLesion]]) -> list[Line]:
    """Slopes over the lesions that the source shows: of all seeds together, resampled by knee."""
    lines = []
    nothing = float("nan")
    for direction in dict.fromkeys(lesion.direction for lesions in seeds for lesion in lesions):
        visible = [[one.contrast for one in lesions if one.direction == direction] for lesions in seeds]
        visible = [[one for one in lesions if one.is_visible] for lesions in visible]
        if not visible[0]:
            continue
        slope = contrast_recovery([one for lesions in visible for one in lesions]).slope
        each = [contrast_recovery(lesions).slope.mean for lesions in visible]
        lines.append(
            Line(
                row, direction, LESION_SLOPE, len(visible[0]), slope.mean, slope.low, slope.high,
                len(seeds), min(each), max(each), nothing, nothing, nothing,
            )
        )  # fmt: skip
    return lines


def _over_seeds(seeds: list[Values], key: tuple[str, str]) -> dict[str, float]:
    """Mean over seeds of each knee, of the knees that have a number in every seed."""
    parts = [seed.get(key, {}) for seed in seeds]
    knees = [knee for knee in parts[0] if all(_is_number(part.get(knee)) for part in parts)]
    return {knee: sum(part[knee] for part in parts) / len(parts) for knee in knees}


def _is_number(value: float | None) -> bool:
    return value is not None and value == value


def _mean(values: Mapping[str, float]) -> float:
    numbers = [value for value in values.values() if _is_number(value)]
    return sum(numbers) / len(numbers)


def _estimate(values: Iterable[float]) -> Estimate:
    return bootstrap_mean(torch.tensor(list(values), dtype=torch.float64))
