# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.errors import UsageError
from scripts.handlers.checkpoint import ResumableCheckpoint
from scripts.handlers.early_stop import EarlyStop


def peak_at_two(epoch: int) -> float:
    return 20.0 if epoch == 2 else 10.0


def stop_at(toy: Any, patience: int, run_dir: Path | None = None, resume: bool = False) -> None:
    stop = EarlyStop(toy.evaluator, patience)
    stop.attach(toy.trainer)
    if run_dir is not None:
        ResumableCheckpoint(
            str(run_dir), toy.network, toy.optimizer, evaluator=toy.evaluator, objects={"stop": stop}, resume=resume
        ).attach(toy.trainer)


def test_training_ends_after_patience_validations_without_improvement(toy: Any) -> None:
    run = toy(max_epochs=20, scores=peak_at_two)
    stop_at(run, patience=3)
    run.run()
    assert run.trainer.state.epoch == 5


def test_epochs_without_validation_do_not_count(toy: Any) -> None:
    run = toy(max_epochs=20, scores=peak_at_two, validate_every=2)
    stop_at(run, patience=3)
    run.run()
    assert run.trainer.state.epoch == 8


def test_the_counter_survives_a_resume(toy: Any, run_dir: Path) -> None:
    killed = toy(max_epochs=20, scores=peak_at_two, kill_in=(5, 1))
    stop_at(killed, 3, run_dir)
    killed.run_until_killed()
    resumed = toy(max_epochs=20, scores=peak_at_two)
    stop_at(resumed, 3, run_dir, resume=True)
    resumed.run()
    assert resumed.trainer.state.epoch == 5


def test_a_run_that_had_stopped_does_not_go_on(toy: Any, run_dir: Path) -> None:
    stopped = toy(max_epochs=20, scores=peak_at_two)
    stop_at(stopped, 3, run_dir)
    stopped.run()
    again = toy(max_epochs=20, scores=peak_at_two)
    stop_at(again, 3, run_dir, resume=True)
    again.run()
    assert again.history == {}


def test_an_unknown_metric_is_refused(toy: Any) -> None:
    run = toy()
    EarlyStop(run.evaluator, 2, metric="psnr").attach(run.trainer)
    with pytest.raises(UsageError, match=r"'psnr'.*val_psnr"):
        run.run()
