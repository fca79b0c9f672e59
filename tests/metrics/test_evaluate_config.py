# SPDX-License-Identifier: Apache-2.0
"""``evaluate.yaml`` as a user runs it: from simulated knees and a weights file to the tables."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from scripts.errors import WeightsError
from scripts.simulation.cohort import simulated_cohort

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "bundle" / "configs"
SHAPE = (3, 48, 48)


@pytest.fixture(autouse=True)
def repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def parser(name: str) -> ConfigParser:
    config = ConfigParser()
    config.read_config(str(CONFIGS / f"{name}.yaml"))
    return config


def evaluate(tmp_path: Path, **overrides: Any) -> Path:
    """Run the config on two small held-out knees; returns the folder of the tables."""
    simulated_cohort(tmp_path / "cache", "test", 2, 0, SHAPE, workers=1)  # a pool would start two more interpreters
    settings = {
        "cache_dir": str(tmp_path / "cache"),
        "simulated::shape": list(SHAPE),
        "simulated::studies::test": 2,
        "bootstrap::resamples": 50,
        "output_dir": str(tmp_path / "out"),
        "device": "cpu",
    }
    workflow = ConfigWorkflow(
        config_file=str(CONFIGS / "evaluate.yaml"),
        workflow_type="infer",
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        run_id="evaluating",
        **(settings | overrides),
    )
    workflow.initialize()
    workflow.run()
    return tmp_path / "out"


def test_both_directions_of_the_held_out_knees_are_tabled(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    torch.save(parser("evaluate").get_parsed_content("network_def").state_dict(), weights)
    out = evaluate(tmp_path, checkpoint=str(weights))
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 2 * 4 * 2 * 2
    assert {row["patient"] for row in rows} == {"sim-03000000", "sim-03000001"}, "other knees than the held-out ones"
    assert {row["data"] for row in rows} == {"simulated"}
    psnr = {tuple(row[key] for key in ("patient", "direction", "method", "reference", "scaling")): row for row in rows}
    for patient in ("sim-03000000", "sim-03000001"):
        for direction in ("PD to PDFS", "PDFS to PD"):
            copy, mapping = (
                float(psnr[patient, direction, method, "noisy", "as stored"]["psnr"])
                for method in ("copy", "intensity mapping")
            )
            assert mapping > copy
    text = (out / "summary.md").read_text("utf-8")
    assert text.count("simulated data, 2 patients") == 6, "4 tables of scores, 2 of measures"
    assert hashlib.sha256(weights.read_bytes()).hexdigest()[:16] in text


def test_missing_weights_are_a_refusal_and_leave_no_tables(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:  # MONAI wraps what a config's expression raises
        evaluate(tmp_path, checkpoint=str(tmp_path / "model.pt"))
    assert isinstance(caught.value.__cause__, WeightsError) and "no weights at" in str(caught.value.__cause__)
    assert not (tmp_path / "out" / "metrics.csv").exists()


def test_the_held_out_cohort_is_the_one_that_training_leaves_alone() -> None:
    train, measured = parser("train"), parser("evaluate")
    assert train.get_parsed_content("simulated") == measured.get_parsed_content("simulated")
    assert train["contrasts"] == measured["contrasts"]
    assert measured["section"] == "test"
