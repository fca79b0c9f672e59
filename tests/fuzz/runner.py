# SPDX-License-Identifier: Apache-2.0
"""Hands studies to a process in its jail, and takes another one where that hangs or dies."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from tests.fuzz.elements import File
from tests.fuzz.jail import Outcome, Program, serve

SECONDS = 10.0
"""Of processor time, for both verbs on one study; a busy machine may take longer by the clock."""

_PATIENCE = 12.0
"""How many times as long by the clock: what waits for ever takes no processor time."""


class Runner:
    """One process at a time, for as long as it lives.

    Args:
        folder: an empty one.
        program: what is run on each study.
        seconds: the limit for one study.
    """

    def __init__(self, folder: Path, program: Program, seconds: float = SECONDS) -> None:
        self.folder, self.program, self.seconds = folder, program, seconds
        self.lost, self.slowest, self.peak_bytes = 0, 0.0, 0
        self._started = 0
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, study: list[File]) -> Outcome:
        """Give what came of a study."""
        pipe = self._pipe if self._pipe is not None else self._start()
        pipe.send(study)
        used, began = self._used(), time.monotonic()
        while not pipe.poll(0.25):
            hung = time.monotonic() - began > _PATIENCE * self.seconds
            if hung or self._used() - used > self.seconds:
                return self._without_answer(f"no end after {self._used() - used:.1f} s of processor time")
        try:
            outcome: Outcome = pipe.recv()
        except EOFError:
            return self._without_answer("the process died")
        self.slowest = max(self.slowest, self._used() - used)
        self.peak_bytes = max(self.peak_bytes, self._peak())
        return outcome

    def _start(self) -> Connection:
        ours, theirs = multiprocessing.Pipe()
        self._started += 1
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(
            target=serve, args=(theirs, self.folder / str(self._started), self.program), daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe = ours
        return ours

    def _without_answer(self, what: str) -> Outcome:
        self.lost += 1
        self._end()
        assert self._process is not None
        code = self._process.exitcode
        tail = (self.folder / str(self._started) / "stderr").read_text(errors="replace")[-300:]
        return Outcome(faults=[f"{what} (ended with {code}): {tail!r}"])

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _used(self) -> float:
        """Processor seconds of the process so far."""
        words = self._file("stat").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") if words else 0.0

    def _peak(self) -> int:
        lines = [line for line in self._file("status").splitlines() if line.startswith("VmHWM:")]
        return 1024 * int(lines[0].split()[1]) if lines else 0

    def _file(self, name: str) -> str:
        assert self._process is not None
        try:
            return Path(f"/proc/{self._process.pid}/{name}").read_text()
        except OSError:
            return ""
