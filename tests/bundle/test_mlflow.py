# SPDX-License-Identifier: Apache-2.0
"""MONAI's ``--tracking mlflow``, which adds its own handlers to our ids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

READ = """
import json, sys, mlflow
client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{sys.argv[1]}/mlruns.db")
runs = []
for experiment in client.search_experiments():
    for run in client.search_runs(experiment.experiment_id):
        past = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
        history = {name: [point.value for point in points] for name, points in past.items()}
        runs.append([experiment.name, run.info.run_name, run.info.status, history])
print(json.dumps(runs))
"""


def run(*words: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def test_mlflow_gets_the_curves_of_a_run_named_after_its_folder(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install mlflow")
    files = "['bundle/configs/train.yaml','bundle/configs/smoke.yaml']"
    words = ["-m", "monai.bundle", "run", "training", "--config_file", files, "--tracking", "mlflow"]
    run(*words, "--output_dir", str(tmp_path), "--cache_dir", str(tmp_path / "cache"))
    runs: list[Any] = json.loads(run("-c", READ, str(tmp_path)).splitlines()[-1])
    ((experiment, name, status, history),) = runs
    assert (experiment, status) == ("knee-contrast-synthesis", "FINISHED")
    assert (tmp_path / name / "curves.csv").is_file(), "the run is not named after its folder"
    assert len(history["cross"]) == len(history["val_psnr"]) == 2
    assert len(history["train_loss"]) == 8
