# SPDX-License-Identifier: Apache-2.0
"""Training that MONAI Label starts: on pairs of its datastore, with weights that it serves from then on."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.label
REQUEST = {"max_epochs": 2, "val_split": 0.34, "multi_gpu": False, "device": "cpu", "target_contrast": "PDFS"}


@pytest.fixture
def label(start: Any, knees: list[Path], tmp_path: Path) -> Any:
    """A server whose datastore holds three PD scans without labels, and whose epochs are short."""
    (tmp_path / "studies").mkdir()
    for number, knee in enumerate(knees[:3]):
        shutil.copy(knee / "PD.nii.gz", tmp_path / "studies" / f"knee{number}.nii.gz")
    served = start(tmp_path / "studies")
    path = served.bundle / "configs" / "train.json"  # read again by each training in the background
    config = json.loads(path.read_text())
    config["samples_per_epoch"], config["augmentation"]["size"] = 4, [32, 32]
    path.write_text(json.dumps(config))
    return served


def weights(label: Any) -> dict[str, str]:
    found = {}
    for path in (label.bundle / "models").iterdir():
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_training_refuses_in_words_then_trains_then_serves_what_it_trained(label: Any, knees: list[Path]) -> None:
    shipped = weights(label)
    before = label.infer("knee0", target_contrast="PDFS")[1]

    task = label.train(**REQUEST)
    assert task["status"] == "ERROR"
    assert "no pairs to train on; need images that have a label" in task["details"][-1]

    for number, knee in enumerate(knees[:3]):
        path = knee / "PDFS.nii.gz"
        status, body = label.ask("PUT", "/datastore/label", ({}, {"label": path}), image=f"knee{number}", tag="final")
        assert status == 200, body
    for wrong, said in (
        ({"target_contrast": "T2"}, "'T2' of the labels: unknown; need PD or PDFS"),
        ({"val_split": 0}, "3 pairs to train on and none to validate on"),
    ):
        task = label.train(**REQUEST | wrong)
        assert task["status"] == "ERROR" and said in task["details"][-1]
    assert weights(label) == shipped, "nothing was trained yet"
    assert label.infer("knee0", target_contrast="PDFS")[1] == before

    task = label.train(**REQUEST)
    assert task["status"] == "DONE", task["details"]
    trained = weights(label)
    (former,) = set(trained) - {"model.pt"}
    assert former.startswith("model_before_") and trained[former] == shipped["model.pt"]
    assert trained["model.pt"] != shipped["model.pt"]
    (run,) = [path for path in (label.bundle / "outputs").iterdir() if (path / "model.pt").is_file()]
    assert hashlib.sha256((run / "model.pt").read_bytes()).hexdigest() == trained["model.pt"]
    assert json.loads((label.bundle / "configs" / "metadata.json").read_text())["weights_sha256"] == trained["model.pt"]
    record = json.loads((run / "run.json").read_text())
    assert record["finished"] and record["data"]["pairs"] == 2
    assert "were acquired, not simulated" in (run / "METHODS.md").read_text(), "what is handed over is the user's own"

    assert label.infer("knee0", target_contrast="PDFS")[1] != before
    assert label.infer("knee0", target_contrast="PDFS", model_filename=former)[1] == before
