# SPDX-License-Identifier: Apache-2.0
"""Make a simulated clinic: study after study, each whole or not there, the truth last."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.clinic.kinds import folder, make, patient_of
from scripts.clinic.plan import Case, plan_clinic
from scripts.clinic.truth import BODIES, FILE, STUDIES, TrueSeries, TrueStudy, truth_text, write_body
from scripts.dicom.study import write_simulated_study
from scripts.errors import OutputError, UsageError
from scripts.handlers.files import write_text_atomically
from scripts.simulation.study import SIMULATOR_VERSION
from scripts.workers import results_of

logger = logging.getLogger(__name__)

VERSION = 2
"""Part of the settings: raise it with any change that alters what a clinic holds."""
SETTINGS, _PARTS, _PARTIAL = "clinic.json", "parts", "partial"


@dataclass(frozen=True)
class _Job:
    root: Path
    case: Case
    shape: tuple[int, int, int]


def make_clinic(root: Path, studies: int, seed: int, shape: tuple[int, int, int], workers: int = 1) -> Path:
    """Make a clinic, or what is missing of it.

    Args:
        root: gets ``studies`` (a folder per study, a subfolder per series), ``truth.json`` (see `truth`), ``bodies``
            and ``parts``, the truth by study, and ``clinic.json``, the settings. ``truth.json`` is written last.
        studies: number of them.
        seed: of plan and knees.
        shape: slices, rows and columns of PD.
        workers: processes.

    Returns:
        The tree to be paired.

    Raises:
        UsageError: numbers that cannot be, or a clinic of other settings is there.
        OutputError: the folder cannot be written.
    """
    try:
        cases = plan_clinic(studies, seed)
    except ValueError as error:
        raise UsageError(str(error).rstrip(".")) from error
    settings = {"version": VERSION, "simulator": SIMULATOR_VERSION, "studies": studies, "seed": seed}
    settings |= {"shape": list(shape), "plan": _hash(cases)}
    try:
        _begin(root, settings)
        missing = [_Job(root, case, shape) for case in cases if not _is_there(root, case)]
        for done, case in enumerate(results_of(_make_study, missing, workers), 1):
            logger.info("%d of %d: %s (%s)", len(cases) - len(missing) + done, len(cases), case.folder, case.kind)
        parts = [json.loads(_part(root, case).read_text(encoding="utf-8")) for case in cases]
        found = [TrueStudy.from_dict(part) for part in parts]
        write_text_atomically(root / FILE, truth_text(settings, found))
    except OSError as error:
        raise OutputError(
            f"{root.name}: cannot be written ({error.strerror or error}); need room and rights; choose another folder"
        ) from error
    return root / STUDIES


def _begin(root: Path, settings: dict[str, Any]) -> None:
    note = root / SETTINGS
    if note.is_file():
        if json.loads(note.read_text(encoding="utf-8")) != settings:
            raise UsageError(
                f"{root.name}: holds a clinic of other settings; need the same to go on; repeat them, or choose "
                "another folder"
            )
        return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise OutputError(f"{root.name}: exists and is no clinic; need a new folder; choose another or remove it")
    for name in (STUDIES, BODIES, _PARTS):
        (root / name).mkdir(parents=True, exist_ok=True)
    write_text_atomically(note, json.dumps(settings, indent=1) + "\n")


def _hash(cases: Sequence[Case]) -> str:
    return hashlib.sha256(repr(cases).encode()).hexdigest()[:12]


def _part(root: Path, case: Case) -> Path:
    return root / _PARTS / f"{case.folder}.json"


def _is_there(root: Path, case: Case) -> bool:
    """The folder of a study is renamed to its name last, so that it stands for all of it."""
    return (root / STUDIES / case.folder).is_dir()


def _make_study(job: _Job) -> Case:
    case, made = job.case, make(job.case, job.shape)
    stage = job.root / _PARTIAL / case.folder  # not below the tree that is paired
    shutil.rmtree(stage, ignore_errors=True)
    try:
        patient = patient_of(case)
        contents = [replace(one.content, header={**patient, **one.content.header}) for one in made.series]
        write_simulated_study(stage, contents, case.person)
        if made.cut_off is not None:
            _cut_off(stage / folder(made.cut_off))
        write_body(job.root / BODIES / f"{case.folder}.npz", made.labels.numpy())
        series = {
            folder(number): TrueSeries(one.role, one.plane, one.content.array.shape, one.content.affine_lps.tolist())
            for number, one in enumerate(made.series)
        }
        truth = TrueStudy(
            case.folder, case.group, case.kind, patient["PatientID"], case.person,
            series, tuple(made.pairs), tuple(made.refusals),
        )  # fmt: skip
        write_text_atomically(_part(job.root, case), json.dumps(truth.as_dict()) + "\n")
        stage.replace(job.root / STUDIES / case.folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are at work there
            stage.parent.rmdir()
    return case


def _cut_off(series: Path) -> None:
    """Leave half of the file in the middle of a series."""
    files = sorted(series.iterdir())
    file = files[len(files) // 2]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
