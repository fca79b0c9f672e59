# SPDX-License-Identifier: Apache-2.0
"""What an exam of many series takes: one of them in memory at a time."""

from __future__ import annotations

import ctypes
import gc
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.errors import GateError
from scripts.synthesis import run
from scripts.synthesis.planning import Request
from scripts.synthesis.run import synthesize
from scripts.synthesis.selection import Lift
from tests.archive.processes import memory_of

SERIES, WARM = 50, 3
SHAPE = (10, 288, 320)
VOLUME = 4 * SHAPE[0] * SHAPE[1] * SHAPE[2]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_series(
    knee_series: Callable[..., list[Path]], small_bundle: Path, tmp_path: Path
) -> None:
    for number in range(1, SERIES + 1):
        knee_series(f"exam/{number}", slices=SHAPE[0], shape=SHAPE[1:], number=number, seed=number, acquired=True)
    held, trim = [], ctypes.CDLL(None).malloc_trim

    def note(text: str, done: int, total: int) -> None:
        if text == "synthesising" and not done:
            trim(0)  # what the allocator keeps for later is nobody's
            held.append(memory_of(os.getpid()))

    request = Request(
        (tmp_path / "exam",), tmp_path / "out", all_series=True, device="cpu", lift=Lift(force=True)
    )  # of noise
    report = synthesize(request, note, bundle_root=small_bundle)
    assert len(report["series"]) == len(held) == SERIES
    # To hold one more of them would take a source and a synthesis for each series.
    assert max(held[WARM:]) - held[WARM - 1] < 4 * VOLUME


def test_a_refused_series_is_let_go(
    knee_series: Callable[..., list[Path]], random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        knee_series(f"exam/{number}", number=number, seed=number, acquired=True)
    seen: list[weakref.ref[Any]] = []

    def refuse(model: object, image: Any, tell: object) -> dict[str, Any]:
        gc.collect()
        assert [one() for one in seen] == [None] * len(seen)
        seen.append(weakref.ref(image))
        raise GateError("no; need another; take one")

    monkeypatch.setattr(run, "infer", refuse)
    with pytest.raises(GateError):
        synthesize(Request((tmp_path / "exam",), tmp_path / "out", all_series=True, device="cpu"), None, random_bundle)
    assert len(seen) == 3
