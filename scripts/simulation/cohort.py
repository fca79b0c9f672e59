# SPDX-License-Identifier: Apache-2.0
"""A cached cohort of simulated studies: made on first use, one folder per patient, resumable."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from scripts.simulation.study import SIMULATOR_VERSION, draw_study, simulate_study

logger = logging.getLogger(__name__)

SECTION_SEEDS = {"training": 1_000_000, "validation": 2_000_000, "test": 3_000_000}
"""First study seed of each section; sections never share a knee below a million studies."""
_LPS_TO_RAS = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64))


@dataclass(frozen=True)
class Patient:
    """One cached simulated patient.

    Args:
        folder: holds ``<contrast>.pt`` and ``<contrast>_clean.pt`` and ``drawn.json``.
        sigma: noise of PD and PDFS (standard deviation of the real part) in the volumes' units.
        matrix: acquired share of rows and columns of k-space.
    """

    folder: Path
    sigma: tuple[float, float]
    matrix: tuple[float, float]


def simulated_cohort(
    cache_dir: str | Path,
    section: str,
    studies: int,
    seed: int = 0,
    shape: Sequence[int] = (24, 256, 256),
    workers: int | None = None,
) -> list[Patient]:
    """Make, or find in the cache, the simulated patients of one section.

    Args:
        cache_dir: where cohorts are kept; one subfolder per simulator version and shape.
        section: training, validation or test.
        studies: number of patients.
        seed: shifts all study seeds, for a cohort of its own.
        shape: slices, rows and columns of each study.
        workers: processes; None takes one per core.

    Raises:
        ValueError: for an unknown section or no studies.
    """
    if section not in SECTION_SEEDS:
        raise ValueError(f"Section {section!r} is unknown; choose one of {', '.join(SECTION_SEEDS)}.")
    if studies < 1:
        raise ValueError(f"A cohort of {studies} studies was asked for; need at least 1.")
    slices, rows, columns = (int(side) for side in shape)
    size = (slices, rows, columns)
    root = Path(cache_dir) / f"simulated-v{SIMULATOR_VERSION}-{'x'.join(map(str, size))}"
    numbers = [SECTION_SEEDS[section] + 10_000_000 * seed + index for index in range(studies)]
    jobs = [(number, root / f"sim-{number:08d}", size) for number in numbers]
    missing = [job for job in jobs if not (job[1] / "drawn.json").is_file()]
    if missing:
        root.mkdir(parents=True, exist_ok=True)
        logger.info("Simulating %d of %d %s knees into %s", len(missing), studies, section, root)
        _make(missing, workers or os.cpu_count() or 1)
    return [_read(folder) for _, folder, _ in jobs]


def _make(jobs: list[tuple[int, Path, tuple[int, int, int]]], workers: int) -> None:
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            _make_patient(job)
        return
    # A forked child inherits torch's locked thread pool, so the workers start afresh.
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(_make_patient, jobs), 1):
            if done % 10 == 0 or done == len(jobs):
                logger.info("Simulated %d of %d knees", done, len(jobs))


def _make_patient(job: tuple[int, Path, tuple[int, int, int]]) -> None:
    number, folder, shape = job
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # slices are small: one thread per process is fastest
    try:
        parameters = draw_study(number, shape=shape)
        study = simulate_study(parameters)
    finally:
        torch.set_num_threads(threads)
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for index, contrast in enumerate(("PD", "PDFS")):
        for name, volume in ((contrast, study.noisy[index]), (f"{contrast}_clean", study.clean[index])):
            content = {"voxels": volume.half(), "affine_ras": _LPS_TO_RAS @ study.affine_lps}
            torch.save(content, partial / f"{name}.pt")
    drawn = parameters.as_dict() | {"sigma": study.sigma}
    (partial / "drawn.json").write_text(json.dumps(drawn, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _read(folder: Path) -> Patient:
    drawn: dict[str, Any] = json.loads((folder / "drawn.json").read_text(encoding="utf-8"))
    return Patient(folder, tuple(drawn["sigma"]), tuple(drawn["matrix"]))
