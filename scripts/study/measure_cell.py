# SPDX-License-Identifier: Apache-2.0
"""Measure what a cell has trained, once, and keep the numbers beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from scripts.bundle_config import read_config
from scripts.handlers.files import write_text_atomically
from scripts.study.baselines import measure_baseline
from scripts.study.knees import Knee, Twins
from scripts.study.measure import (
    Measured,
    MeasuredLesion,
    measure_blobs,
    measure_lesion,
    measure_network,
    measured,
    predictor,
)
from scripts.study.train_cell import CONFIG, network_of
from scripts.weights import load_weights

MEASURED, LESIONS = "measured.csv", "lesions.csv"
NOISY, MOVED = 20, 6
"""Of the knees, how many are measured for noise and how many for stability."""

_Row = TypeVar("_Row", Measured, MeasuredLesion)


def measure_cell(folder: Path, run: Path, knees: list[Knee], twins: list[Twins]) -> None:
    """Measure the last averaged weights of a cell: its budget is spent then, and no validation chose them.

    Args:
        folder: of the cell.
        run: its run.
        knees: held out.
        twins: pairs with lesions.
    """
    if is_measured(folder):
        return
    network = network_of(read_config(folder / CONFIG))
    load_weights(network, run / "last.pt")
    rows = measure_network(network, knees, NOISY, MOVED)
    predict, lesions = predictor(network), list[MeasuredLesion]()
    for pair in twins:
        for target in (1, 0):
            lesions.append(measure_lesion(predict, pair, target))
            rows += measured(pair.patient, target, measure_blobs(predict, pair, target))
    _write(folder, rows, lesions)


def measure_baseline_once(name: str, folder: Path, knees: list[Knee], twins: list[Twins]) -> None:
    """The same for a method that is not trained."""
    if not is_measured(folder):
        _write(folder, *measure_baseline(name, knees, twins, NOISY))


def is_measured(folder: Path) -> bool:
    """Whether both tables of a cell or baseline are there."""
    return (folder / MEASURED).is_file() and (folder / LESIONS).is_file()


def read_measured(folder: Path) -> tuple[list[Measured], list[MeasuredLesion]]:
    """Both tables of a cell or baseline."""
    return _read(folder / MEASURED, Measured), _read(folder / LESIONS, MeasuredLesion)


def _write(folder: Path, rows: list[Measured], lesions: list[MeasuredLesion]) -> None:
    write_text_atomically(folder / LESIONS, _csv(lesions, MeasuredLesion))
    write_text_atomically(folder / MEASURED, _csv(rows, Measured))


def _csv(rows: Sequence[Any], kind: type) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {key: f"{value:.7g}" if isinstance(value, float) else value for key, value in asdict(row).items()}
        )
    return text.getvalue()


def _read(path: Path, kind: type[_Row]) -> list[_Row]:
    types = get_type_hints(kind)
    with path.open(encoding="utf-8", newline="") as stream:
        return [kind(**{key: types[key](value) for key, value in row.items()}) for row in csv.DictReader(stream)]
