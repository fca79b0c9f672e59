# SPDX-License-Identifier: Apache-2.0
"""``--audit FILE``: a line of JSON for each series that was asked for, whatever became of it, and nothing of a patient.

A line holds no name, no UID, no path and no message, since file names and with them messages may name a patient. A
study and a series are told by a short hash of their UID (a NIfTI file by one of its bytes), by which whoever has the
study finds its lines. UIDs can be guessed (they count up), so a site that lets others see the file gives a secret in
`KEY_VARIABLE`, and the hash is keyed with it.

Lines are appended by a single write each to a file that is opened for appending, so that any number of processes of one
machine share it and no line tears another.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from scripts.errors import TRANSIENT, KneeSynthError, OutOfMemory, OutputError, WeightsError
from scripts.interruption import INTERRUPTED
from scripts.synthesis.bundle import ModelFacts, read_facts
from scripts.synthesis.jobs import Job
from scripts.synthesis.selection import OPPOSITE

KEY_VARIABLE = "KNEESYNTH_AUDIT_KEY"

_DIGITS = 16


class Trail:
    """What a run writes down.

    Args:
        file: descriptor of the file, opened for appending; None writes nothing.
        name: its name, for refusals.
        root: bundle folder of the weights; None where none of them is to be used.
        target: contrast that the run was asked for.

    Attributes:
        model: the weights in use, once they are known.
        jobs: series that were found, and whose fate is not written down yet.
        warnings: of each of them, once they are made.
        lines: written down so far.
    """

    def __init__(self, file: int | None, name: str, root: Path | None, target: str | None) -> None:
        self._file, self._name, self._root, self._target = file, name, root, target
        self._started = time.monotonic()
        self.model: ModelFacts | None = None
        self.jobs: Sequence[Job] = ()
        self.warnings: Sequence[Sequence[str]] = ()
        self.lines = 0

    def add(self, exit_code: int, job: Job | None, warnings: Sequence[str] = (), seconds: float | None = None) -> None:
        """Append the line of one series.

        Args:
            exit_code: how it ended, as ``kneesynth`` would.
            job: the series; None where none was found.
            warnings: what its report warns of.
            seconds: that it took; those of the run until now if not given.

        Raises:
            OutputError: the line cannot be written.
        """
        if self._file is None:
            return
        self.lines += 1
        elapsed = self.seconds if seconds is None else seconds
        facts = {} if job is None else job.source_facts
        record = {
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            "outcome": outcome(exit_code),
            "exit_code": exit_code,
            **_references(job),
            "source": None if job is None else facts.get("Contrast", OPPOSITE[job.target]),
            "target": self._target if job is None else job.target,
            "warnings": list(warnings),
            "model": self._model(),
            "seconds": round(elapsed, 3),
        }
        self._append(json.dumps(record).encode() + b"\n")

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return time.monotonic() - self._started

    def _model(self) -> dict[str, str] | None:
        if self.model is None and self._root is not None:
            with contextlib.suppress(WeightsError):  # which is why the run was refused
                self.model = read_facts(self._root)
        return None if self.model is None else asdict(self.model)

    def _append(self, line: bytes) -> None:
        assert self._file is not None
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise OutputError(f"--audit {self._name}: {error.strerror}; need room for each line; make some") from error
        if written != len(line):
            raise OutputError(f"--audit {self._name}: only half a line was written; need room for it; make some")


@contextlib.contextmanager
def audited(path: Path | None, root: Path | None, target: str | None) -> Iterator[Trail]:
    """Write down what becomes of the series of a run: at its end, also where it ends by an exception.

    Args:
        path: file to append to; None writes nothing.
        root: bundle folder of the weights; None where none of them is to be used.
        target: contrast that the run was asked for.

    Yields:
        The trail. `Trail.jobs` get a line each when the block ends; an exception before there are any gets one line.

    Raises:
        OutputError: the file cannot be written; at once, before anything is done.
    """
    file = None if path is None else _opened(path)
    trail = Trail(file, "" if path is None else path.name, root, target)
    try:
        try:
            yield trail
        except BaseException as error:
            for job in trail.jobs or (() if trail.lines else (None,)):
                trail.add(_exit_code(error), job, () if job is None else job.warnings)
            raise
        for job, warnings in zip(trail.jobs, trail.warnings, strict=True):
            trail.add(0, job, warnings)
    finally:
        if file is not None:
            os.close(file)


def outcome(exit_code: int) -> str:
    """An exit code as a word: done, refused, failed (another attempt may end otherwise) or interrupted."""
    if exit_code == 0:
        return "done"
    if exit_code == INTERRUPTED:
        return "interrupted"
    return "failed" if exit_code in TRANSIENT else "refused"


def reference(content: bytes) -> str:
    """Short hash that stands for a UID or a file: of SHA-256, or of HMAC-SHA256 where the site has a key."""
    key = os.environ.get(KEY_VARIABLE, "").encode()
    hashed = hmac.new(key, content, hashlib.sha256) if key else hashlib.sha256(content)
    return hashed.hexdigest()[:_DIGITS]


def _references(job: Job | None) -> dict[str, str | None]:
    found: dict[str, str | None] = {"study": None, "series": None, "stack": None if job is None else job.label}
    if job is None:
        return found
    if isinstance(job.source, Path):  # NIfTI, which has no UID
        with contextlib.suppress(OSError):
            found["series"] = reference(job.source.read_bytes())
        return found
    return found | {name: reference(job.identifiers[f"{name}_instance_uid"].encode()) for name in ("study", "series")}


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    except OSError as error:
        raise OutputError(
            f"--audit {path.name}: {error.strerror}; need a file that can be appended to; choose another"
        ) from error


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KneeSynthError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return OutOfMemory.exit_code if isinstance(error, MemoryError) else KneeSynthError.exit_code
