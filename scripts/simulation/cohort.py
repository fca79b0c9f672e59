# SPDX-License-Identifier: Apache-2.0
"""A cached cohort of simulated patients: made on first use, one folder per patient, resumable.

Patients to train on are kept as packed tissue maps, from which every slice is scanned anew; patients to be scored on
are kept as whole studies, noisy and noise-free.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scripts.errors import OutputError
from scripts.simulation.brightness import Probe, probe
from scripts.simulation.maps import TissueMaps
from scripts.simulation.preset import load_preset, preset_hash
from scripts.simulation.records import as_plain
from scripts.simulation.study import CONTRASTS, SIMULATOR_VERSION, draw_study, map_study, simulate_study
from scripts.workers import results_of

logger = logging.getLogger(__name__)

SECTION_SEEDS = {"training": 1_000_000, "validation": 2_000_000, "test": 3_000_000}
"""First study seed of each section; sections never share a knee below a million studies."""
MAPS = "maps.pt"
_DRAWN = "drawn.json"
_LPS_TO_RAS = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64))


@dataclass(frozen=True)
class Patient:
    """One cached simulated patient.

    Args:
        folder: holds ``drawn.json`` and either ``maps.pt`` (to be scanned) or ``<contrast>.pt``,
            ``<contrast>_clean.pt`` and ``labels.pt`` (scanned).
    """

    folder: Path

    @property
    def drawn(self) -> dict[str, Any]:
        """What was drawn: ``parameters`` and, for a scanned patient, ``sigma`` of PD and PDFS."""
        content: dict[str, Any] = json.loads((self.folder / _DRAWN).read_text(encoding="utf-8"))
        return content


@dataclass(frozen=True)
class _Job:
    folder: Path
    seed: int
    shape: tuple[int, int, int]
    preset: str
    scanned: bool


def simulated_cohort(
    cache_dir: str | Path,
    section: str,
    studies: int,
    seed: int = 0,
    shape: Sequence[int] = (24, 256, 256),
    preset: str = "clinical",
    scanned: bool = True,
    workers: int | None = None,
) -> list[Patient]:
    """Make, or find in the cache, the simulated patients of one section.

    Args:
        cache_dir: where cohorts are kept; one subfolder per simulator version, content of the preset and shape.
        section: training, validation or test.
        studies: number of patients.
        seed: shifts all study seeds, for a cohort of its own.
        shape: slices, rows and columns of each study.
        preset: name or file of what is drawn.
        scanned: whole studies, else tissue maps.
        workers: processes; None takes one per core.

    Raises:
        ValueError: for an unknown section or preset, or no studies.
        OutputError: if the cache cannot be written.
    """
    if section not in SECTION_SEEDS:
        raise ValueError(f"Section {section!r} is unknown; choose one of {', '.join(SECTION_SEEDS)}.")
    if studies < 1:
        raise ValueError(f"A cohort of {studies} studies was asked for; need at least 1.")
    slices, rows, columns = (int(side) for side in shape)
    size = "x".join(map(str, (slices, rows, columns)))
    content = preset_hash(load_preset(preset))
    root = Path(cache_dir) / f"simulated-v{SIMULATOR_VERSION}-{content}-{size}" / ("studies" if scanned else "maps")
    numbers = [SECTION_SEEDS[section] + 10_000_000 * seed + index for index in range(studies)]
    jobs = [
        _Job(root / f"sim-{number:08d}", number, (slices, rows, columns), str(preset), scanned) for number in numbers
    ]
    missing = [job for job in jobs if not _is_whole(job.folder)]
    if missing:
        logger.info("Simulating %d of %d %s knees into %s", len(missing), studies, section, root)
        try:
            root.mkdir(parents=True, exist_ok=True)
            _clear_debris(root)
            for done, _ in enumerate(results_of(_make_patient, missing, workers or os.cpu_count() or 1), 1):
                if done % 10 == 0 or done == len(missing):
                    logger.info("Simulated %d of %d knees", done, len(missing))
        except OSError as error:
            raise OutputError(
                f"cache {root.name}: cannot be written ({error.strerror or error}); need room and rights in cache_dir; "
                "free some space or name another cache_dir"
            ) from error
    return [Patient(job.folder) for job in jobs]


def read_maps(path: Path) -> tuple[TissueMaps, Probe]:
    """The tissue maps of a cached patient, without labels, and its probe; maps stay in the file until they are used.

    Args:
        path: ``maps.pt`` of a patient.
    """
    content = torch.load(path, weights_only=True, mmap=True)
    compartment, share = content["compartment"], content["share"]
    nothing = torch.zeros((), dtype=torch.uint8).expand(compartment.shape[1:])
    lesion = content.get("lesion", nothing)  # files of earlier versions have none
    maps = TissueMaps(compartment, share, nothing, lesion, content["affine_lps"].clone())
    return maps, Probe(content["probe_shares"].clone(), content["probe_points"].clone())


def _make_patient(job: _Job) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # slices are small: one thread per process is fastest
    partial = job.folder.with_name(f".{job.folder.name}-{socket.gethostname()}-{os.getpid()}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (_write_study if job.scanned else _write_maps)(partial, job)
        shutil.rmtree(job.folder, ignore_errors=True)  # unreadable, or it would not be made
        partial.replace(job.folder)
    finally:
        torch.set_num_threads(threads)
        shutil.rmtree(partial, ignore_errors=True)


def _write_study(folder: Path, job: _Job) -> None:
    parameters = draw_study(job.seed, job.preset, shape=job.shape)
    study = simulate_study(parameters)
    affine_ras = _LPS_TO_RAS @ study.affine_lps
    volumes = {"labels": study.labels}
    for index, contrast in enumerate(CONTRASTS):
        volumes |= {contrast: study.noisy[index].half(), f"{contrast}_clean": study.clean[index].half()}
    for name, voxels in volumes.items():
        torch.save({"voxels": voxels.clone(), "affine_ras": affine_ras}, folder / f"{name}.pt")
    _write_drawn(folder, {"sigma": list(study.sigma), "parameters": as_plain(parameters)})


def _write_maps(folder: Path, job: _Job) -> None:
    parameters = draw_study(job.seed, job.preset, shape=job.shape)
    maps = map_study(parameters)
    seen = probe(maps)
    content = {"compartment": maps.compartment, "share": maps.share, "affine_lps": maps.affine_lps}
    content |= {"lesion": maps.lesion}
    torch.save(content | {"probe_shares": seen.shares, "probe_points": seen.points}, folder / MAPS)
    _write_drawn(folder, {"parameters": as_plain(parameters)})


def _write_drawn(folder: Path, content: dict[str, Any]) -> None:
    content["files"] = {path.name: path.stat().st_size for path in sorted(folder.glob("*.pt"))}
    (folder / _DRAWN).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _is_whole(folder: Path) -> bool:
    """Whether a cached patient has all its files, each of its size and with the directory that ends an archive."""
    try:
        files = json.loads((folder / _DRAWN).read_text(encoding="utf-8"))["files"]
        return all(
            (folder / name).stat().st_size == size and zipfile.is_zipfile(folder / name) for name, size in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _clear_debris(root: Path) -> None:
    """Remove what killed runs on this machine left; those that live keep theirs."""
    for partial in root.glob(f".sim-*-{socket.gethostname()}-*"):
        number = partial.name.rpartition("-")[2]
        if number.isdigit() and not _lives(int(number)):
            shutil.rmtree(partial, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
