# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from ignite.engine import Events

from scripts.handlers.epoch_log import EpochLog, format_row


def test_one_line_per_epoch_with_all_numbers(toy: Any, caplog: pytest.LogCaptureFixture) -> None:
    run = toy(validate_every=2)
    EpochLog(run.optimizer, run.evaluator, bar=False).attach(run.trainer)
    with caplog.at_level(logging.INFO, logger="scripts.handlers.epoch_log"):
        run.run()
    lines = [record.message for record in caplog.records if record.name == "scripts.handlers.epoch_log"]
    assert len(lines) == 4
    assert lines[0].startswith("epoch 1/4")
    for word in ("loss ", "content ", "recon ", "cross ", "lr 5.00e-02", "s/epoch"):
        assert word in lines[0]
    assert f"loss {run.history[2]:.4f}" in lines[1]
    assert ["val_psnr" in line for line in lines] == [False, True, False, True]


def test_numbers_line_up() -> None:
    row = {"epoch": 3, "loss": 0.5, "lr": 1e-3, "seconds": 2.0, "val_psnr": 24.126}
    assert format_row(row, 100) == "epoch   3/100  loss 0.5000  lr 1.00e-03  2.0 s/epoch  val_psnr 24.13"


def test_on_a_terminal_a_bar_counts_all_batches(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.progress import Progress

    seen: list[tuple[float, float | None]] = []
    update = Progress.update

    def spy(self: Progress, task: Any, **fields: Any) -> None:
        update(self, task, **fields)
        seen.append((self.tasks[0].completed, self.tasks[0].total))

    monkeypatch.setattr(Progress, "update", spy)
    run = toy(max_epochs=2)
    EpochLog(run.optimizer, run.evaluator, bar=True).attach(run.trainer)
    run.run()
    assert seen[-1] == (6, 6)


@pytest.mark.parametrize("fails", [False, True], ids=["finished", "failed"])
def test_log_lines_go_through_the_bar_and_back(toy: Any, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the captured stderr for a terminal
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    streams: list[Any] = []
    try:
        run = toy(max_epochs=2, kill_in=(2, 1) if fails else None)
        EpochLog(run.optimizer, run.evaluator, bar=True).attach(run.trainer)
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: streams.append(handler.stream))
        if fails:
            run.run_until_killed()  # the exception must come through, and the terminal be given back
        else:
            run.run()
        assert all(stream is not sys.stderr for stream in streams)
        assert handler.stream is sys.stderr
    finally:
        logging.getLogger().removeHandler(handler)


def test_without_rich_the_lines_remain(
    toy: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    run = toy(max_epochs=2)
    EpochLog(run.optimizer, run.evaluator, bar=True).attach(run.trainer)
    with caplog.at_level(logging.INFO):
        run.run()
    assert sum("rich is not installed" in line for line in caplog.messages) == 1
    assert sum(line.startswith("epoch ") for line in caplog.messages) == 2
