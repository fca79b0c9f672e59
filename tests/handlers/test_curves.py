# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.handlers.checkpoint import ResumableCheckpoint
from scripts.handlers.curves import CurvesCSV, format_curves, read_curves


def with_curves(toy: Any, run_dir: Path, plot: bool = False, resume: bool = False) -> CurvesCSV:
    curves = CurvesCSV(str(run_dir), toy.optimizer, toy.evaluator, plot=plot)
    curves.attach(toy.trainer)
    ResumableCheckpoint(
        str(run_dir), toy.network, toy.optimizer, toy.lr_scheduler, evaluator=toy.evaluator, resume=resume
    ).attach(toy.trainer)
    return curves


def test_one_row_per_epoch_with_validation_where_it_ran(toy: Any, run_dir: Path) -> None:
    run = toy(validate_every=2)
    curves = with_curves(run, run_dir)
    run.run()
    with curves.path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[:7] == ["epoch", "loss", "content", "recon", "cross", "lr", "seconds"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["val_psnr"] for row in rows] == ["", "22.0", "", "24.0"]
    assert [float(row["loss"]) for row in rows] == list(run.history.values())
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.05 * 0.7**k for k in range(4)])
    assert all(float(row["seconds"]) >= 0 for row in rows)


def test_a_resumed_run_drops_the_rows_it_trains_again(toy: Any, run_dir: Path) -> None:
    whole = toy()
    with_curves(whole, run_dir.with_name("whole"))
    whole.run()
    killed = toy(kill_in=(3, 1))
    with_curves(killed, run_dir)
    killed.run_until_killed()
    path = run_dir / "curves.csv"
    # as if killed between the row of epoch 3 and its checkpoint
    path.write_text(path.read_text("utf-8") + "3,9,9,9,9,9,9,9,9,9,9\n", encoding="utf-8")
    resumed = toy()
    with_curves(resumed, run_dir, resume=True)
    resumed.run()
    expected, found = read_curves(run_dir.with_name("whole") / "curves.csv"), read_curves(path)
    assert [row["epoch"] for row in found] == [1, 2, 3, 4]
    for one, other in zip(expected, found, strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == pytest.approx(
            {k: v for k, v in other.items() if k != "seconds"}, abs=1e-6
        )


def test_every_digit_survives(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "loss": 1 / 3}, {"epoch": 2, "loss": float("nan"), "val_psnr": 1e-17}]
    (tmp_path / "curves.csv").write_text(format_curves(rows), encoding="utf-8")
    back = read_curves(tmp_path / "curves.csv")
    assert back[0] == rows[0]
    assert np.isnan(back[1]["loss"]) and back[1]["val_psnr"] == 1e-17


def test_curves_are_drawn(toy: Any, run_dir: Path) -> None:
    from matplotlib.image import imread

    run = toy()
    with_curves(run, run_dir, plot=True)
    run.run()
    picture = imread(run_dir / "curves.png")
    assert min(picture.shape[:2]) > 300
    assert picture[..., :3].std() > 0.02  # something is drawn on it


def test_without_matplotlib_one_line_says_so(
    toy: Any, run_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "scripts.handlers.curves_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run = toy()
    with_curves(run, run_dir, plot=True)
    with caplog.at_level(logging.INFO):
        run.run()
    assert sum("matplotlib is not installed" in line for line in caplog.messages) == 1
    assert len(read_curves(run_dir / "curves.csv")) == 4
    assert not (run_dir / "curves.png").exists()
