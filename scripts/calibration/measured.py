# SPDX-License-Identifier: Apache-2.0
"""What the gate measures on simulated and real scans, one row each, as a CSV file."""

from __future__ import annotations

import csv
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from scripts.body import body_scale
from scripts.calibration.scans import (
    PLANES,
    SimulatedScan,
    disturbed_scans,
    sound_scans,
    training_scans,
)
from scripts.interruption import follow_the_parent
from scripts.quality.measure import Measures, measure

FIRST_SEED = 7_200_000
"""Of the knees that limits are found on: no cohort and no test set reaches these."""
CHECK_SEED = 7_350_000
"""Of the knees on which the limits are tried."""
TRAINING_SEED = 7_400_000

LIMITS, CHECK = "limits", "check"
REAL = "real"

_KINDS = {"sound": sound_scans, "disturbed": disturbed_scans}


@dataclass(frozen=True)
class Measured:
    """One scan and what was measured on it.

    Args:
        part: what it is used for: ``limits``, ``check``, or ``real``.
        scan: its name: the seed, or the stack of a real scan.
        plane: of its slices.
        contrast: what it is.
        artefact: see `SimulatedScan`.
        grade: of the artefact.
        measures: of `scripts.quality.measure`.
    """

    part: str
    scan: str
    plane: str
    contrast: str
    artefact: str
    grade: float
    measures: Measures


@dataclass(frozen=True)
class Task:
    """Scans that are simulated together: a kind, the seed of the knee, and the plane."""

    part: str
    kind: str
    seed: int
    plane: str = ""


def tasks(knees: int, checked: int, disturbed: int, training: int) -> list[Task]:
    """What is simulated: sound knees to find limits, others to try them, and some of those disturbed."""
    found = [Task(LIMITS, "sound", FIRST_SEED + n, plane) for n in range(knees) for plane in PLANES]
    found += [Task(LIMITS, "training", TRAINING_SEED + n) for n in range(training)]
    found += [Task(CHECK, "sound", CHECK_SEED + n, plane) for n in range(checked) for plane in PLANES]
    return found + [Task(CHECK, "disturbed", CHECK_SEED + n, plane) for n in range(disturbed) for plane in PLANES]


def measure_task(task: Task) -> list[Measured]:
    """Simulate and measure."""
    scans = training_scans(task.seed) if task.kind == "training" else _KINDS[task.kind](task.seed, task.plane)
    return [found for scan in scans if (found := _measured(task.part, scan)) is not None]


def measure_tasks(todo: list[Task], workers: int) -> Iterator[list[Measured]]:
    """The rows of each task, in order."""
    if workers == 1:
        yield from map(measure_task, todo)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_alone) as pool:
        yield from pool.map(measure_task, todo)


def _alone() -> None:
    follow_the_parent()
    torch.set_num_threads(1)


def measure_real(folder: Path) -> Iterator[Measured]:
    """Every PD and PDFS stack of a folder of DICOM, at its header's word."""
    import numpy as np

    from scripts.dicom.index import index_series
    from scripts.transforms.intensity import NormalizeMagnitude
    from scripts.transforms.orientation import DisplayOrientation
    from scripts.transforms.series import LoadKneeSeries

    for stack in index_series([folder]):
        if not stack.usable or stack.contrast not in ("PD", "PDFS"):
            continue
        image = NormalizeMagnitude()(DisplayOrientation()(LoadKneeSeries()([str(path) for path in stack.files])))
        sizes = np.linalg.norm(np.asarray(image.affine)[:3, :3], axis=0)  # type: ignore[attr-defined]
        found = measure(torch.as_tensor(image)[0], (float(sizes[0]), float(sizes[1]), float(sizes[2])), stack.plane)
        if found is not None:
            echo = 0.0 if stack.echo_time is None else round(1000 * stack.echo_time, 1)
            yield Measured(REAL, f"stack {stack.id}", stack.plane, stack.contrast, REAL, echo, found)


def _measured(part: str, scan: SimulatedScan) -> Measured | None:
    found = measure(scan.volume / body_scale(scan.volume), scan.spacing_mm, scan.plane)
    if found is None:
        return None
    return Measured(part, str(scan.seed), scan.plane, scan.contrast, scan.artefact, scan.grade, found)


def write_measured(rows: Iterable[Measured], path: Path, append: bool = False) -> None:
    """Write rows, or add them."""
    names = [one.name for one in fields(Measured) if one.name != "measures"]
    names += [one.name for one in fields(Measures)]
    with path.open("a" if append else "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        if not append:
            writer.writeheader()
        for row in rows:
            told = {name: value for name, value in asdict(row).items() if name != "measures"}
            writer.writerow(told | row.measures.as_dict())


def read_measured(path: Path) -> list[Measured]:
    """The rows that `write_measured` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, str]) -> Measured:
    values: dict[str, Any] = {
        one.name: float(line[one.name]) if line[one.name] else None for one in fields(Measures) if one.name in line
    }
    values["empty_slices"] = int(values["empty_slices"])
    part, scan, plane, contrast, artefact = (line[name] for name in ("part", "scan", "plane", "contrast", "artefact"))
    return Measured(part, scan, plane, contrast, artefact, float(line["grade"]), Measures(**values))
