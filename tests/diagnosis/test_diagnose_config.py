# SPDX-License-Identifier: Apache-2.0
"""``diagnose.yaml`` as ``monai.bundle run`` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from scripts.errors import FaultFound
from scripts.simulation.cohort import simulated_cohort

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (3, 48, 48)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    simulated_cohort(folder, "training", 2, 0, SHAPE, "randomised", scanned=False, workers=1)
    return folder


def diagnosing(tmp_path: Path, cache: Path, **overrides: Any) -> ConfigWorkflow:
    configs = ROOT / "bundle" / "configs"
    settings = {
        "cache_dir": str(cache),
        "simulated::shape": list(SHAPE),
        "simulated::studies::training": 2,
        "augmentation::size": [32, 32],
        "network_def::encoder": {"features": [4, 8], "latent_channels": 8},
        "network_def::decoder_a": {"features": [8, 4]},
        "network_def::decoder_b": {"features": [8, 4]},
        "batches": 2,
        "output_dir": str(tmp_path / "out"),
        "device": "cpu",
    }
    workflow = ConfigWorkflow(
        config_file=str(configs / "diagnose.yaml"),
        workflow_type=None,
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        run_id="diagnosing",
        **(settings | overrides),
    )
    workflow.initialize()
    return workflow


@pytest.fixture(autouse=True)
def repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_it_writes_its_reports(tmp_path: Path, cache: Path) -> None:
    diagnosing(tmp_path, cache).run()
    report = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert report["verdict"] == "too early to tell"
    assert report["evidence"]["measured"]["slices"] == 4
    assert (tmp_path / "out" / "diagnosis.html").is_file()


def test_a_fault_ends_the_run(tmp_path: Path, cache: Path) -> None:
    workflow = diagnosing(tmp_path, cache, **{"network_def::cross_domain_strategy": "zero_skip"})
    with pytest.raises(RuntimeError) as raised:  # MONAI wraps what an expression raises
        workflow.run()
    causes, error = [], raised.value
    while error is not None:
        causes.append(error)
        error = error.__cause__
    assert any(isinstance(cause, FaultFound) for cause in causes)
    assert (tmp_path / "out" / "diagnosis.json").is_file()
