# SPDX-License-Identifier: Apache-2.0
"""Where a training run lives: a new folder, or the latest run that was cut off."""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts.errors import UsageError
from scripts.processes import from_first_rank, is_first_rank

RECORD = "run.json"
LOCK = ".lock"

logger = logging.getLogger(__name__)


def choose_run_dir(output_dir: str, resume: bool = False, run_dir: str | None = None) -> str:
    """Name the folder of this run; nothing is created.

    Args:
        output_dir: folder of all runs; a new run is called after the local time, ``YYYYmmdd-HHMMSS``.
        resume: take the newest run under ``output_dir`` that has not finished and that no live process holds.
        run_dir: this folder and no other; with ``resume`` it is continued where it holds a run, else started.

    Returns:
        The folder's path as text (the same one in every process of a distributed run).

    Raises:
        UsageError: ``resume`` and nothing to resume; ``run_dir`` holds a run and ``resume`` is false.
    """
    # Only the first process looks: the others would see its lock, or another second on the clock. What it refuses
    # travels as text too, else the others would wait for it for ever.
    chosen, refusal = "", ""
    if is_first_rank():
        try:
            chosen = str(_choose(Path(output_dir), resume, Path(run_dir) if run_dir else None))
        except UsageError as error:
            refusal = str(error)
    refusal = from_first_rank(refusal)
    if refusal:
        raise UsageError(refusal)
    return from_first_rank(chosen)


def _choose(output_dir: Path, resume: bool, run_dir: Path | None) -> Path:
    if run_dir is not None:
        if not resume and (run_dir / RECORD).is_file():
            raise UsageError(
                f"{run_dir} already holds a training run; need an empty folder or leave to continue: "
                "give another run_dir, or resume=true."
            )
        return run_dir
    if not resume:
        return _new(output_dir)
    for folder in sorted(output_dir.glob("*"), reverse=True) if output_dir.is_dir() else ():
        record = read_record(folder)
        if record is None or record.get("finished"):
            continue
        if is_locked(folder):
            logger.info("%s is still being trained by another process: passed over.", folder)
            continue
        return folder
    raise UsageError(
        f"no unfinished training run under {output_dir}; need one to resume: start without resume, "
        "or name a finished run with run_dir and a larger max_epochs."
    )


def _new(output_dir: Path) -> Path:
    name = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folder = output_dir / name
    number = 2
    while folder.exists():
        folder = output_dir / f"{name}-{number}"
        number += 1
    return folder


def read_record(folder: Path) -> dict[str, Any] | None:
    """The run's ``run.json``, or None where the folder holds no (readable) run."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


class RunLock:
    """A run folder held by this process until `close`, or until the process ends, however it ends."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        """Give the folder back."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    __del__ = close  # a run that ended in an exception gives up its folder with its handlers


def lock(folder: Path) -> RunLock:
    """Hold a run folder; where the system or the file system has no locks, nothing is held.

    Raises:
        UsageError: a live process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return RunLock(None)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(
            f"{folder} is being trained by another process; need a folder of its own: wait, or give another run_dir."
        ) from None
    except OSError:  # a file system without locks
        os.close(descriptor)
        return RunLock(None)
    return RunLock(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether a live process holds the run folder."""
    try:
        lock(folder).close()
    except UsageError:
        return True
    return False
