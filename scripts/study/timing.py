# SPDX-License-Identifier: Apache-2.0
"""Seconds and memory that each row's network takes for a volume, in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from scripts.bundle_config import read_config
from scripts.handlers.files import write_text_atomically
from scripts.study.grid import Grid
from scripts.study.measure import predictor
from scripts.study.rows import read_csv, write_csv
from scripts.study.train_cell import CONFIG, TRAINED, network_of

TIMING = "timing.csv"
VOLUME = (24, 256, 256)
"""Slices, rows and columns of the volume."""
REPEATS = 3


@dataclass(frozen=True)
class Timing:
    """What a row's network takes to synthesise a volume of `VOLUME`.

    Args:
        row: of the grid.
        seconds: the shortest of `REPEATS`, since other work on the machine only adds.
        peak_gib: highest resident memory of the process, all libraries included.
        cores: of the machine.
    """

    row: str
    seconds: float
    peak_gib: float
    cores: int


def time_rows(grid: Grid, out: Path) -> list[Timing]:
    """Time every trained row that has not been timed, and write all to ``timing.csv`` in the study's folder.

    Args:
        grid: of the study.
        out: its folder.
    """
    found = {one.row: one for one in read_timings(out)}
    for row in dict.fromkeys(cell.name for cell in grid.cells):
        folders = [out / "cells" / cell.key for cell in grid.cells if cell.name == row]
        trained = [folder for folder in folders if (folder / TRAINED).is_file()]
        if row in found or not trained:
            continue
        fresh = multiprocessing.get_context("spawn")  # so that no row inherits another's memory
        with ProcessPoolExecutor(1, mp_context=fresh) as pool:
            seconds, peak = pool.submit(_time, trained[0] / CONFIG).result()
        found[row] = Timing(row, seconds, peak, os.cpu_count() or 1)
        write_text_atomically(out / TIMING, write_csv(list(found.values()), Timing))
    return list(found.values())


def read_timings(out: Path) -> list[Timing]:
    """What `time_rows` has written so far."""
    path = out / TIMING
    return read_csv(path, Timing) if path.is_file() else []


def _time(config: Path) -> tuple[float, float]:
    import resource  # not on Windows, where only this cannot run

    predict = predictor(network_of(read_config(config)))
    volume = torch.rand(VOLUME)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        predict(volume, 1)
        times.append(time.perf_counter() - started)
    return min(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
