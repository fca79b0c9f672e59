# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import importlib.machinery
import logging
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events

from scripts.errors import UsageError
from scripts.handlers.checkpoint import ResumableCheckpoint
from scripts.handlers.curves import CurvesCSV
from scripts.handlers.files import write_atomically
from scripts.handlers.panel import panel_path
from scripts.handlers.png import encode_png
from scripts.handlers.tracking import TensorBoardLog, WandbLog


@pytest.fixture
def fake_wandb(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    calls = types.SimpleNamespace(init=[], log=[], finished=0, summary={})
    module: Any = types.ModuleType("wandb")
    module.__spec__ = importlib.machinery.ModuleSpec("wandb", loader=None)
    module.init = lambda *args, **kwargs: calls.init.append(kwargs)
    module.log = lambda row, step: calls.log.append((step, row))
    module.Image = lambda path: f"picture {Path(path).name}"
    module.run = types.SimpleNamespace(summary=calls.summary)
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


def with_pictures_and_weights(run: Any, run_dir: Path, **settings: Any) -> None:
    picture = encode_png(np.zeros((8, 8, 3), dtype=np.uint8))
    run.trainer.add_event_handler(
        Events.EPOCH_COMPLETED(every=run.validate_every),
        lambda engine: write_atomically(panel_path(run_dir, engine.state.epoch), lambda stream: stream.write(picture)),
    )
    ResumableCheckpoint(str(run_dir), run.network, run.optimizer, evaluator=run.evaluator).attach(run.trainer)
    data = {"pairs": 3, "sha256": "f00d"}
    WandbLog(str(run_dir), "knees", run.optimizer, run.evaluator, data=data, **settings).attach(run.trainer)
    run.run()


def test_wandb_gets_pictures_only_where_they_may_leave(toy: Any, run_dir: Path, fake_wandb: Any) -> None:
    with_pictures_and_weights(toy(validate_every=2), run_dir / "kept")
    assert not any("panel" in row for _, row in fake_wandb.log)
    fake_wandb.log.clear()
    with_pictures_and_weights(toy(validate_every=2), run_dir / "sent", panels=True)
    sent = [row.get("panel") for _, row in fake_wandb.log]
    assert sent == [None, "picture epoch_0002.png", None, "picture epoch_0004.png"]


def test_wandb_gets_what_the_run_can_be_found_by(toy: Any, run_dir: Path, fake_wandb: Any) -> None:
    with_pictures_and_weights(toy(), run_dir)
    (given,) = fake_wandb.init
    assert given["config"]["fingerprint"] == {"pairs": 3, "sha256": "f00d"}
    assert given["config"]["versions"]["torch"] == torch.__version__
    assert "commit" in given["config"]
    assert fake_wandb.summary["model_sha256"] == hashlib.sha256((run_dir / "model.pt").read_bytes()).hexdigest()


@pytest.mark.slow
def test_the_real_wandb_keeps_all_of_it_here_when_offline(
    toy: Any, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with_pictures_and_weights(toy(), run_dir, panels=True)
    (record,) = run_dir.glob("wandb/offline-run-*/run-run.wandb")
    content = record.read_bytes()
    weights = hashlib.sha256((run_dir / "model.pt").read_bytes()).hexdigest()
    for text in ("val_psnr", "cross", "f00d", "model_sha256", weights, "knees"):
        assert text.encode() in content, text
    assert len(list(run_dir.glob("wandb/offline-run-*/files/media/images/panel_*.png"))) == 4


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
