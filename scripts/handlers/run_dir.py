# SPDX-License-Identifier: Apache-2.0
"""Where a training run lives: a new folder, or the latest run that was cut off."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from scripts.errors import UsageError
from scripts.handlers.ranks import from_first_rank, is_first_rank

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


def lock(folder: Path) -> IO[str] | None:
    """Hold the run folder until the returned file is closed or the process ends, however it ends.

    Returns:
        The open lock file, or None where this system has no such locks.

    Raises:
        UsageError: a live process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: runs are then not protected from one another
        return None
    folder.mkdir(parents=True, exist_ok=True)
    stream = (folder / LOCK).open("a")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise UsageError(
            f"{folder} is being trained by another process; need a folder of its own: wait, or give another run_dir."
        ) from None
    except OSError:  # a file system without locks
        stream.close()
        return None
    return stream


def is_locked(folder: Path) -> bool:
    """Whether a live process holds the run folder."""
    with contextlib.suppress(UsageError), _held(folder):
        return False
    return True


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    stream = lock(folder)
    try:
        yield
    finally:
        if stream is not None:
            stream.close()
