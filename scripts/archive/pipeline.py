# SPDX-License-Identifier: Apache-2.0
"""Move series through find, read, network and write, so that no device waits and memory stays flat.

However long the manifest is, at most a fixed number of series per device is in memory: some are read ahead, two are
with the device (one at work, one that follows at once), some are written behind. Where writing is slow, devices wait
for it rather than let finished volumes pile up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from scripts.archive.engine import Call, Engine, Lost
from scripts.archive.manifest import Line
from scripts.archive.stages import Failure, Found, Note, Series, Settings, find, read, write
from scripts.errors import KneeSynthError, WeightsError
from scripts.synthesis.jobs import Job

# Series per device.
READ_AHEAD = 2
WITH_DEVICE = 2
WRITE_BEHIND = 2

_LOST = Failure(KneeSynthError.exit_code, "the process that worked on it ended")


@dataclass(frozen=True)
class Outcome:
    """How one attempt at a series, or at finding the series of a line, ended.

    Args:
        name: the series' folder below the output folder, or that of its line where no series was found.
        line: its line of the manifest.
        attempt: from 1.
        failure: why it failed; None if it is done.
        again: whether another attempt follows.
        finished_before: series of the line that had nothing left to do.
        seconds: by stage.
        worker: host and process of the network.
        job: what the series is made of; None where none was found.
        warnings: of its report, or what is known of them before there is one.
        line_ended: whether nothing of the line is left to do.
    """

    name: str
    line: Line
    attempt: int
    failure: Failure | None = None
    again: bool = False
    finished_before: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    worker: str = ""
    job: Job | None = None
    warnings: tuple[str, ...] = ()
    line_ended: bool = False


@dataclass
class _Task:
    """A line to search (no series yet) or a series to make, with what is known of this attempt."""

    line: Line
    series: Series | None = None
    attempt: int = 1
    seconds: dict[str, float] = field(default_factory=dict)
    worker: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    data: Any = None

    @property
    def name(self) -> str:
        return self.line.name if self.series is None else self.series.name


class Pipeline(Generic[Call]):
    """All lines through one engine.

    Args:
        engine: what does the work.
        settings: what all series share.
        lines: what to do.
        retries: further attempts after one that failed for a reason that may pass.
    """

    def __init__(self, engine: Engine[Call], settings: Settings, lines: Iterable[Line], retries: int) -> None:
        self.engine, self.settings, self.retries = engine, settings, retries
        self.to_find = deque(_Task(line) for line in lines)
        self.to_read: deque[_Task] = deque()
        self.read: deque[_Task] = deque()
        self.with_device: list[deque[Call]] = [deque() for _ in range(engine.workers)]
        self.calls: dict[Call, tuple[str, _Task]] = {}
        self.open: dict[int, int] = {}  # series left of a line, by its number
        self.deaths_in_a_row = 0
        self._after = {
            "find": self._after_find,
            "read": self._after_read,
            "infer": self._after_infer,
            "write": self._after_write,
        }

    def outcomes(self) -> Iterator[Outcome]:
        """Do everything, and tell how each attempt ended, as it ends.

        Raises:
            WeightsError: a worker cannot use its weights.
            KneeSynthError: workers die again and again, so that nothing gets done.
        """
        while True:
            self._start_what_fits()
            if not self.calls:
                return
            call = self.engine.first_done(self.calls)
            stage, task = self.calls.pop(call)
            yield from self._after[stage](call, task)

    def _count(self, stage: str) -> int:
        return sum(name == stage for name, _ in self.calls.values())

    def _start_what_fits(self) -> None:
        workers = self.engine.workers
        while self.read and self._count("write") < WRITE_BEHIND * workers:
            worker = min(range(workers), key=lambda number: len(self.with_device[number]))
            if len(self.with_device[worker]) >= WITH_DEVICE:
                break
            task = self.read.popleft()
            assert task.series is not None
            call = self.engine.infer(worker, task.series.job.target, task.data)
            self.with_device[worker].append(call)
            self.calls[call] = ("infer", task)
        while self.to_read and self._count("read") + len(self.read) < READ_AHEAD * workers:
            task = self.to_read.popleft()
            self.calls[self.engine.call(read, self.settings, task.series)] = ("read", task)
        while self.to_find and self._count("find") + len(self.to_read) < READ_AHEAD * workers:
            task = self.to_find.popleft()
            self.calls[self.engine.call(find, self.settings, task.line)] = ("find", task)

    def _note(self, call: Call) -> Note:
        try:
            return self.engine.note(call)
        except Lost:
            return Note(0.0, failure=_LOST)

    def _after_find(self, call: Call, task: _Task) -> Iterator[Outcome]:
        note = self._note(call)
        if note.failure is not None:
            yield self._failed(task, note.failure)
            return
        found: Found = note.value
        if found.series:
            self.open[task.line.number] = len(found.series)
        self.to_read.extend(_Task(task.line, series) for series in found.series)
        if found.finished:
            ended = not found.series
            yield Outcome(task.name, task.line, task.attempt, finished_before=found.finished, line_ended=ended)

    def _after_read(self, call: Call, task: _Task) -> Iterator[Outcome]:
        note = self._note(call)
        task.seconds["read"] = note.seconds
        if note.failure is not None:
            yield self._failed(task, note.failure)
            return
        task.data = call
        self.read.append(task)

    def _after_infer(self, call: Call, task: _Task) -> Iterator[Outcome]:
        worker = next(number for number, calls in enumerate(self.with_device) if call in calls)
        try:
            note = self.engine.note(call)
        except Lost:
            self.calls[call] = ("infer", task)
            yield self._lost(worker)
            return
        self.with_device[worker].remove(call)
        self.deaths_in_a_row = 0
        task.seconds["network"] = note.seconds
        if note.failure is not None:
            if note.failure.exit_code == WeightsError.exit_code:
                raise note.failure.error()
            yield self._failed(task, note.failure)
            return
        task.worker = note.value["worker"]
        facts = {"Device": note.value["device"], "Seconds": f"{sum(task.seconds.values()):.1f}"}
        written = self.engine.call(write, self.settings, task.series, facts, task.data, call)
        task.data = None
        self.calls[written] = ("write", task)

    def _after_write(self, call: Call, task: _Task) -> Iterator[Outcome]:
        note = self._note(call)
        task.seconds["write"] = note.seconds
        if note.failure is not None:
            yield self._failed(task, note.failure)
            return
        yield replace(self._outcome(task), warnings=tuple(note.value or ()))

    def _lost(self, worker: int) -> Outcome:
        """A worker died: what it was at has failed, what it had queued goes to another as if it had not been."""
        self.deaths_in_a_row += 1
        if self.deaths_in_a_row > self.engine.workers * (self.retries + 1):
            raise KneeSynthError(
                f"workers ended {self.deaths_in_a_row} times and nothing was done in between; need them to live; look "
                "at their memory and, with Ray, at its logs; what is finished stays"
            )
        lost = [call for call in self.with_device[worker] if self._is_lost(call)]
        at_work, *queued = [self.calls.pop(call)[1] for call in lost]
        self.with_device[worker] = deque(call for call in self.with_device[worker] if call not in lost)
        self.read.extendleft(reversed(queued))
        self.engine.renew(worker)
        return self._failed(at_work, _LOST)

    def _is_lost(self, call: Call) -> bool:
        try:
            self.engine.note(call)
        except Lost:
            return True
        return False

    def _failed(self, task: _Task, failure: Failure) -> Outcome:
        again = failure.transient and task.attempt <= self.retries
        if again:
            fresh = _Task(task.line, task.series, task.attempt + 1)
            (self.to_find if task.series is None else self.to_read).append(fresh)
        return self._outcome(task, failure, again)

    def _outcome(self, task: _Task, failure: Failure | None = None, again: bool = False) -> Outcome:
        left = self.open.pop(task.line.number, 1) - (not again)
        if left:
            self.open[task.line.number] = left
        seconds = {stage: round(value, 3) for stage, value in task.seconds.items()}
        outcome = Outcome(task.name, task.line, task.attempt, failure, again, seconds=seconds, worker=task.worker)
        if task.series is not None:
            outcome = replace(outcome, job=task.series.job, warnings=task.series.job.warnings)
        return replace(outcome, line_ended=not left)
