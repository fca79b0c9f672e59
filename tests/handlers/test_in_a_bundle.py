# SPDX-License-Identifier: Apache-2.0
"""The handlers as a config names them, run by the bundle as a user runs it."""

from __future__ import annotations

import gc
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.bundle import run

from scripts.handlers.checkpoint import ResumableCheckpoint
from scripts.handlers.curves import read_curves

CONFIG = """
output_dir: outputs
resume: false
run_dir: null
max_epochs: 4
wandb: false
seed: 5
device: cpu
loss_weights: {content: 1.0, recon: 0.05, cross: 1.0}
folder:
  _target_: scripts.handlers.run_dir.choose_run_dir
  output_dir: "@output_dir"
  resume: "@resume"
  run_dir: "@run_dir"

network_def: "$torch.nn.Sequential(
  torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.Dropout(0.2), torch.nn.Conv3d(4, 1, 3, padding=1))"
network: $@network_def.to(@device)
optimizer: {_target_: torch.optim.Adam, params: $@network.parameters(), lr: 0.01}
lr_scheduler: {_target_: torch.optim.lr_scheduler.StepLR, optimizer: "@optimizer", step_size: 1, gamma: 0.5}
items: "$[{'image': torch.rand(1, 2, 16, 16, generator=torch.Generator().manual_seed(k)),
  'label': torch.rand(1, 2, 16, 16, generator=torch.Generator().manual_seed(9 + k))} for k in range(3)]"
loader: {_target_: DataLoader, dataset: "@items", batch_size: 1, num_workers: 0}

curves:
  _target_: scripts.handlers.curves.CurvesCSV
  run_dir: "@folder"
  optimizer: "@optimizer"
  evaluator: "@evaluator"
  plot: true
early_stop:
  _target_: scripts.handlers.early_stop.EarlyStop
  evaluator: "@evaluator"
  patience: 10
evaluator:
  _target_: SupervisedEvaluator
  device: "@device"
  val_data_loader: "@loader"
  network: "@network"
  postprocessing: {_target_: CopyItemsd, keys: pred, names: pred_reverse}
  key_val_metric:
    val_psnr:
      _target_: PeakSignalToNoiseRatio
      max_val: 1.0
      output_transform: "$monai.handlers.from_engine(['pred', 'label'])"
  val_handlers:
    - {_target_: scripts.handlers.panel.PanelImage, run_dir: "@folder"}
trainer:
  _target_: SupervisedTrainer
  device: "@device"
  max_epochs: "@max_epochs"
  train_data_loader: "@loader"
  network: "@network"
  optimizer: "@optimizer"
  loss_function: {_target_: torch.nn.L1Loss}
  key_train_metric:
    loss:
      _target_: ignite.metrics.Average
      output_transform: "$monai.handlers.from_engine('loss', first=True)"
  train_handlers:
    - _target_: scripts.handlers.run_folder.RunFolder
      run_dir: "@folder"
      seed: "@seed"
      device: "@device"
      data: toys
    - {_target_: scripts.handlers.nonfinite.StopOnNonFinite, run_dir: "@folder", network: "@network"}
    - {_target_: LrScheduleHandler, lr_scheduler: "@lr_scheduler", print_lr: false}
    - {_target_: ValidationHandler, validator: "@evaluator", interval: 1}
    - "@early_stop"
    - {_target_: scripts.handlers.epoch_log.EpochLog, optimizer: "@optimizer", evaluator: "@evaluator"}
    - "@curves"
    - _target_: scripts.handlers.methods_note.MethodsNote
      run_dir: "@folder"
      network: "@network"
      optimizer: "@optimizer"
      curves: "@curves"
      loss_weights: "@loss_weights"
      simulated: true
    - _target_: scripts.handlers.tracking.TensorBoardLog
      run_dir: "@folder"
      optimizer: "@optimizer"
      evaluator: "@evaluator"
    - _target_: scripts.handlers.tracking.WandbLog
      _disabled_: $not @wandb
      run_dir: "@folder"
    - _target_: scripts.handlers.checkpoint.ResumableCheckpoint
      run_dir: "@folder"
      network: "@network"
      optimizer: "@optimizer"
      lr_scheduler: "@lr_scheduler"
      evaluator: "@evaluator"
      objects: {early_stop: "@early_stop"}
      resume: "@resume"
initialize:
  - $monai.utils.set_determinism(@seed)
training:
  - $@trainer.run()
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def train(config: Path, output_dir: Path, **settings: Any) -> None:
    settings = {"curves#plot": False} | settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run("training", config_file=str(config), logging_file=False, output_dir=str(output_dir), **settings)


def losses(folder: Path) -> dict[int, float]:
    return {int(row["epoch"]): row["loss"] for row in read_curves(folder / "curves.csv")}


def test_a_run_leaves_its_folder_and_a_killed_one_is_continued(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config, tmp_path / "whole", **{"curves#plot": True})
    (whole,) = (tmp_path / "whole").iterdir()
    assert {path.name for path in whole.iterdir() if not path.name.startswith(".")} == {
        *("config.yaml", "run.json", "METHODS.md", "curves.csv", "curves.png", "panels", "tensorboard"),
        *("last.pt", "best.pt", "model.pt"),
    }
    assert len(list((whole / "panels").iterdir())) == 4
    assert json.loads((whole / "run.json").read_text("utf-8"))["finished"] is True
    assert yaml.safe_load((whole / "config.yaml").read_text("utf-8"))["output_dir"] == str(tmp_path / "whole")
    assert "simulated" in (whole / "METHODS.md").read_text("utf-8")

    save = ResumableCheckpoint._save

    def die(self: ResumableCheckpoint, engine: Any) -> None:
        if engine.state.epoch == 3:
            raise KeyboardInterrupt
        save(self, engine)

    monkeypatch.setattr(ResumableCheckpoint, "_save", die)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut")
    monkeypatch.undo()
    gc.collect()  # a killed process would have given up its lock
    (cut,) = (tmp_path / "cut").iterdir()
    assert torch.load(cut / "last.pt", weights_only=True)["epoch"] == 2

    train(config, tmp_path / "cut", resume=True)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [cut.name]
    assert losses(cut) == pytest.approx(losses(whole), abs=1e-6)
    assert sorted(losses(cut)) == [1, 2, 3, 4]


def test_the_kept_config_runs_again_to_the_same_losses(config: Path, tmp_path: Path) -> None:
    train(config, tmp_path / "first", max_epochs=2)
    (first,) = (tmp_path / "first").iterdir()
    train(first / "config.yaml", tmp_path / "second")
    (second,) = (tmp_path / "second").iterdir()
    assert losses(second) == pytest.approx(losses(first), abs=1e-6)


def test_a_finished_run_is_extended_by_name(config: Path, tmp_path: Path) -> None:
    train(config, tmp_path / "a", max_epochs=4)
    folder = tmp_path / "named"
    train(config, tmp_path / "b", max_epochs=2, run_dir=str(folder))
    train(config, tmp_path / "b", max_epochs=4, run_dir=str(folder), resume=True)
    (whole,) = (tmp_path / "a").iterdir()
    assert losses(folder) == pytest.approx(losses(whole), abs=1e-6)
    assert not (tmp_path / "b").exists()
