# SPDX-License-Identifier: Apache-2.0
"""From a data set to a manifest of pairs: the one function behind ``kneesynth pair``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from scripts.errors import OutputError, UsageError
from scripts.pairing.candidates import Exam, find_exams
from scripts.pairing.exam import Outcome, pair_exam
from scripts.pairing.manifest import earlier_sections, manifest_of, write_manifest
from scripts.pairing.memory import Memory
from scripts.pairing.settings import Settings
from scripts.workers import results_of

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PairRequest:
    """What to pair, and into which file.

    Args:
        source: folder of studies, or a CSV.
        out: manifest to write; the review page and the finished exams lie beside it.
        workers: processes; None for one per core.
        accept_simulated: take this project's simulated series as acquired ones.
        site: file of what a site's own series names mean.
        settings: limits.
    """

    source: Path
    out: Path
    workers: int | None = None
    accept_simulated: bool = False
    site: Path | None = None
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Paired:
    """What was made.

    Args:
        manifest: content of the file.
        page: the review page.
        exams: how many were looked at.
        remembered: of these, how many an earlier run had done.
    """

    manifest: dict[str, Any]
    page: Path
    exams: int
    remembered: int


def pair(request: PairRequest, progress: Progress | None = None) -> Paired:
    """Pair a data set; a run that was ended goes on where it stopped.

    Raises:
        UsageError: nothing to pair, or a wrong request.
        OutputError: the manifest cannot be written.
    """
    tell = progress or (lambda text, done, total: None)
    if request.workers is not None and request.workers < 1:
        raise UsageError(f"--workers {request.workers}: need at least one; correct it")
    out = request.out.absolute()
    if out.is_dir() or out.suffix.lower() != ".json":
        raise OutputError(f"{out.name}: no name of a JSON file; need one for the manifest; choose another")
    before = earlier_sections(out)
    found = find_exams(request.source.absolute(), request.accept_simulated, request.site)
    memory = Memory(out, request.settings)
    memory.open()
    outcomes, remembered = _outcomes(found.exams, memory, request, tell)
    manifest = manifest_of(found, outcomes, out.parent, request.settings, before)
    page = write_manifest(manifest, outcomes, out)
    return Paired(manifest, page, len(found.exams), remembered)


def _outcomes(exams: Sequence[Exam], memory: Memory, request: PairRequest, tell: Progress) -> tuple[list[Outcome], int]:
    keys = [memory.key(exam) for exam in exams]
    known = {key: memory.recall(key) for key in keys}
    done = {key: outcome for key, outcome in known.items() if outcome is not None}
    left = {key: exam for key, exam in zip(keys, exams, strict=True) if key not in done}
    remembered = len(exams) - len(left)
    tell("pairing exams", remembered, len(exams))
    workers = request.workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    quiet = partial(logging.disable, logging.WARNING)
    for key, outcome in results_of(partial(_paired, settings=request.settings), list(left.items()), workers, quiet):
        memory.keep(key, outcome)
        done[key] = outcome
        tell("pairing exams", remembered + len(done) - len(known) + len(left), len(exams))
    return [done[key] for key in keys], remembered


def _paired(job: tuple[str, Exam], settings: Settings) -> tuple[str, Outcome]:
    return job[0], pair_exam(job[1], settings)
