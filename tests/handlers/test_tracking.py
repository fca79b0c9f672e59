# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.machinery
import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from scripts.errors import UsageError
from scripts.handlers.checkpoint import ResumableCheckpoint
from scripts.handlers.curves import CurvesCSV
from scripts.handlers.tracking import TensorBoardLog, WandbLog


@pytest.fixture
def fake_wandb(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    calls = types.SimpleNamespace(init=[], log=[], finished=0)
    module: Any = types.ModuleType("wandb")
    module.__spec__ = importlib.machinery.ModuleSpec("wandb", loader=None)
    module.init = lambda *args, **kwargs: calls.init.append(kwargs)
    module.log = lambda row, step: calls.log.append((step, row))
    module.finish = lambda: setattr(calls, "finished", calls.finished + 1)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls


def test_wandb_gets_the_numbers_of_the_table(toy: Any, run_dir: Path, fake_wandb: Any) -> None:
    run = toy(validate_every=2)
    curves = CurvesCSV(str(run_dir), run.optimizer, run.evaluator, plot=False)
    curves.attach(run.trainer)
    WandbLog(str(run_dir), "knees", run.optimizer, run.evaluator, {"mode": "offline"}).attach(run.trainer)
    run.run()
    assert [step for step, _ in fake_wandb.log] == [1, 2, 3, 4]
    assert [{"epoch": step, **row} for step, row in fake_wandb.log] == curves.rows
    assert fake_wandb.finished == 1
    (given,) = fake_wandb.init
    assert (given["project"], given["id"], given["resume"], given["mode"]) == ("knees", "run", "allow", "offline")


def test_without_wandb_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match="pip install wandb"):
        WandbLog("anywhere")


def test_tensorboard_gets_them_too_and_forgets_what_is_trained_again(toy: Any, run_dir: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def with_tensorboard(toy: Any, resume: bool) -> None:
        ResumableCheckpoint(str(run_dir), toy.network, toy.optimizer, toy.lr_scheduler, resume=resume).attach(
            toy.trainer
        )
        TensorBoardLog(str(run_dir), toy.optimizer, toy.evaluator).attach(toy.trainer)

    killed = toy(kill_in=(3, 2))
    with_tensorboard(killed, resume=False)
    killed.run_until_killed()
    resumed = toy()
    with_tensorboard(resumed, resume=True)
    resumed.run()
    events = EventAccumulator(str(run_dir / "tensorboard"))
    events.Reload()
    assert {"train/loss", "train/cross", "train/lr", "validation/val_psnr"} <= set(events.Tags()["scalars"])
    losses = events.Scalars("train/loss")
    assert [event.step for event in losses] == [1, 2, 3, 4]
    assert losses[3].value == pytest.approx(resumed.history[4], rel=1e-6)


def test_without_tensorboard_one_line_says_so(
    toy: Any, run_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run = toy(max_epochs=2)
    TensorBoardLog(str(run_dir), run.optimizer, run.evaluator).attach(run.trainer)
    with caplog.at_level(logging.INFO):
        run.run()
    assert sum("tensorboard is not installed" in line for line in caplog.messages) == 1
