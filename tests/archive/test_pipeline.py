# SPDX-License-Identifier: Apache-2.0
"""The steering, with an engine that does nothing but end calls in any order, fail them, and lose workers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.archive.engine import Lost
from scripts.archive.manifest import Line
from scripts.archive.pipeline import READ_AHEAD, WITH_DEVICE, WRITE_BEHIND, Outcome, Pipeline
from scripts.archive.stages import Failure, Found, Note, Series, Settings
from scripts.errors import KneeSynthError, WeightsError
from scripts.synthesis.bundle import ModelFacts

SETTINGS = Settings(Path("out"), ModelFacts("model", "1", "ab"))
LOST = "lost"
CRASH, REFUSAL, WEIGHTS = Failure(1, "crashed"), Failure(6, "no knee"), Failure(7, "other weights")

#: What becomes of a stage of a series (or line) at which attempt; None is well.
Fate = Callable[[str, str, int], Failure | str | None]


class Call:
    def __init__(self, stage: str, name: str, note: Note | None, worker: int | None = None) -> None:
        self.stage, self.name, self.given, self.worker, self.lost = stage, name, note, worker, False


class FakeEngine:
    """Ends calls in an order drawn from a seed; those of one worker in their own order."""

    def __init__(self, workers: int, fate: Fate, seed: int = 0, per_line: int = 1, slow: str = "") -> None:
        self.workers, self.fate, self.per_line, self.slow = workers, fate, per_line, slow
        self.random = random.Random(seed)
        self.queues: list[list[Call]] = [[] for _ in range(workers)]
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.renewed: list[int] = []
        self.holding: set[str] = set()  # series whose volumes are in memory
        self.most_held = 0
        self.written: list[str] = []

    def call(self, stage: Callable[..., Any], settings: Settings, what: Any, *rest: Any) -> Call:
        if stage.__name__ == "find":
            series = tuple(
                Series(f"{what.name}/{n}", what, SimpleNamespace(target="PDFS", warnings=()), ())  # type: ignore[arg-type]
                for n in range(self.per_line)
            )
            return self._call("find", what.name, Found(series, 0))
        if stage.__name__ == "read":
            self.holding.add(what.name)
            self.most_held = max(self.most_held, len(self.holding))
        return self._call(stage.__name__, what.name, None)

    def infer(self, worker: int, target: str, data: Call) -> Call:
        assert data.stage == "read" and target == "PDFS"
        call = Call("infer", data.name, None, worker)
        self.queues[worker].append(call)
        return call

    def _call(self, stage: str, name: str, value: Any) -> Call:
        return Call(stage, name, Note(1.0, value))

    def first_done(self, calls: Collection[Call]) -> Call:
        able = [c for c in calls if c.worker is None or c.lost or self.queues[c.worker][0] is c]
        call = self.random.choice([c for c in able if c.stage != self.slow] or able)
        if call.lost:
            return call
        self.attempts[call.stage, call.name] += 1
        fate = self.fate(call.stage, call.name, self.attempts[call.stage, call.name])
        if call.worker is not None:
            self.queues[call.worker].remove(call)
            call.given = Note(2.0, {"device": "cpu", "worker": f"w{call.worker}"})
        if fate == LOST:
            call.lost, call.given = True, None
            if call.worker is not None:
                for other in self.queues[call.worker]:
                    other.lost = True
                self.queues[call.worker].clear()
        elif fate is not None:
            call.given = Note(1.0, failure=fate)  # type: ignore[arg-type]
        if fate is not None or call.stage == "write":
            self.holding.discard(call.name)
            if fate is None:
                self.written.append(call.name)
        return call

    def note(self, call: Call) -> Note:
        if call.lost or call.given is None:
            raise Lost
        return call.given

    def renew(self, worker: int) -> None:
        self.renewed.append(worker)

    def close(self) -> None: ...


def _lines(count: int) -> list[Line]:
    return [Line(n, f"s{n}", Path(f"s{n}"), None, "PDFS", f"s{n}") for n in range(1, count + 1)]


def _run(engine: FakeEngine, count: int, retries: int = 2) -> list[Outcome]:
    return list(Pipeline(engine, SETTINGS, _lines(count), retries).outcomes())


def _well(stage: str, name: str, attempt: int) -> None:
    return None


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_each_series_is_done_once(workers: int, seed: int) -> None:
    engine = FakeEngine(workers, _well, seed, per_line=3)
    outcomes = _run(engine, 20)
    assert sorted(engine.written) == sorted(f"s{n}/{k}" for n in range(1, 21) for k in range(3))
    assert [o.name for o in outcomes] == engine.written
    assert all(o.failure is None and o.seconds == {"read": 1.0, "network": 2.0, "write": 1.0} for o in outcomes)
    assert sum(o.line_ended for o in outcomes) == 20


@pytest.mark.parametrize("slow", ["read", "infer", "write"])
def test_what_is_in_memory_does_not_grow_with_the_manifest(slow: str) -> None:
    limit = READ_AHEAD + WITH_DEVICE + WRITE_BEHIND
    short, long = (FakeEngine(2, _well, slow=slow) for _ in range(2))
    _run(short, 30)
    _run(long, 600)
    assert len(long.written) == 600
    assert short.most_held == long.most_held <= 2 * limit


def test_a_device_has_its_next_series_before_it_asks() -> None:
    """Where reading is not the slow part, no device is ever without work while some is left."""
    engine, idle = FakeEngine(2, _well, slow="infer"), []
    first_done = engine.first_done

    def watch(calls: Collection[Call]) -> Call:
        done = first_done(calls)
        if done.stage == "infer":
            left = any(c.stage in ("find", "read") for c in calls)
            idle.append(left and not engine.queues[done.worker or 0])
        return done

    engine.first_done = watch  # type: ignore[method-assign]
    _run(engine, 50)
    assert len(idle) == 50 and not any(idle)


@pytest.mark.parametrize("stage", ["find", "read", "infer", "write"])
@pytest.mark.parametrize("fate", [CRASH, LOST])
def test_what_may_pass_is_tried_again_up_to_the_limit(stage: str, fate: Failure | str) -> None:
    def fails(times: int) -> Fate:
        return lambda at, name, attempt: fate if at == stage and name.startswith("s2") and attempt <= times else None

    for times, done in ((2, True), (3, False)):
        engine = FakeEngine(1, fails(times), seed=times)
        outcomes = _run(engine, 4)
        about = [o for o in outcomes if o.name.startswith("s2")]
        assert len(about) == 3
        assert [o.again for o in about[:2]] == [True, True]
        assert (about[-1].failure is None) == done
        assert sum(o.line_ended for o in outcomes) == 4
        assert len(engine.written) == 3 + done


def test_a_refusal_is_final() -> None:
    engine = FakeEngine(2, lambda stage, name, attempt: REFUSAL if name == "s2/0" and stage == "read" else None)
    (refused,) = [o for o in _run(engine, 4) if o.failure]
    assert (refused.name, refused.attempt, refused.again, refused.line_ended) == ("s2/0", 1, False, True)
    assert engine.attempts["read", "s2/0"] == 1


@pytest.mark.parametrize("seed", range(10))
def test_a_lost_worker_costs_an_attempt_only_of_what_it_was_at(seed: int) -> None:
    fate: Fate = lambda stage, name, attempt: LOST if (stage, name, attempt) == ("infer", "s7/0", 1) else None  # noqa: E731
    engine = FakeEngine(2, fate, seed)
    outcomes = _run(engine, 20)
    assert [(o.name, o.again) for o in outcomes if o.failure] == [("s7/0", True)]
    assert {o.name: o.attempt for o in outcomes if not o.failure} == {f"s{n}/0": 1 + (n == 7) for n in range(1, 21)}
    assert len(engine.renewed) == 1
    assert sorted(engine.written) == sorted(set(engine.written))


def test_a_series_that_kills_its_worker_each_time_fails_alone() -> None:
    fate: Fate = lambda stage, name, attempt: LOST if (stage, name) == ("infer", "s7/0") else None  # noqa: E731
    engine = FakeEngine(2, fate)
    outcomes = _run(engine, 20, retries=1)
    assert [o.name for o in outcomes if o.failure and not o.again] == ["s7/0"]
    assert len(engine.written) == 19 and len(engine.renewed) == 2


def test_workers_that_never_live_end_the_run() -> None:
    engine = FakeEngine(2, lambda stage, name, attempt: LOST if stage == "infer" else None)
    with pytest.raises(KneeSynthError, match="nothing was done in between"):
        _run(engine, 100)
    assert len(engine.renewed) < 10


def test_weights_that_cannot_be_used_end_the_run() -> None:
    engine = FakeEngine(1, lambda stage, name, attempt: WEIGHTS if stage == "infer" else None)
    with pytest.raises(WeightsError, match="other weights"):
        _run(engine, 5)
