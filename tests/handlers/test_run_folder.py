# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.bundle import ConfigParser

from scripts.errors import UsageError
from scripts.handlers.checkpoint import ResumableCheckpoint
from scripts.handlers.early_stop import EarlyStop
from scripts.handlers.run_config import differing_ids, enclosing_config, look_up
from scripts.handlers.run_dir import is_locked
from scripts.handlers.run_folder import RunFolder


def with_folder(toy: Any, run_dir: Path, config: dict[str, Any] | None = None, resume: bool = False) -> RunFolder:
    folder = RunFolder(str(run_dir), seed=7, device="cpu", data={"studies": 12, "sha256": "abc"}, config=config or {})
    folder.attach(toy.trainer)
    ResumableCheckpoint(str(run_dir), toy.network, toy.optimizer, evaluator=toy.evaluator, resume=resume).attach(
        toy.trainer
    )
    return folder


def record(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "run.json").read_text("utf-8"))


def test_the_record_tells_what_was_run(toy: Any, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.orig_argv", ["/somewhere/bin/python", "-m", "scripts", "train", "--config", "a b.yaml"])
    run = toy(max_epochs=2)
    with_folder(run, run_dir, {"max_epochs": 2, "network_def": {"_target_": "x.Y", "channels": (1, 2)}})
    run.run()
    found = record(run_dir)
    assert found["command"] == "python -m scripts train --config 'a b.yaml'"
    assert (found["seed"], found["epochs"], found["finished"], found["ended"]) == (7, 2, True, "all epochs done")
    assert found["versions"]["torch"] == torch.__version__
    assert {"python", "monai", "numpy", "pytorch-ignite"} <= set(found["versions"])
    assert found["data"] == {"studies": 12, "sha256": "abc"}
    assert found["peak_memory_mb"]["process"] > 50  # torch alone takes more
    assert found["hardware"]["device"] == "cpu" and found["hardware"]["processor"]
    assert yaml.safe_load((run_dir / "config.yaml").read_text("utf-8")) == {
        "max_epochs": 2,
        "network_def": {"_target_": "x.Y", "channels": [1, 2]},
    }


def test_a_killed_run_is_unfinished_and_a_resumed_one_adds_up(
    toy: Any, run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed = toy(kill_in=(3, 1))
    held = with_folder(killed, run_dir, {"lr": 0.1, "resume": False})
    killed.run_until_killed()
    before = record(run_dir)
    assert (before["finished"], before["epochs"]) == (False, 2)
    assert is_locked(run_dir)  # the process lives on in this test
    held._release()

    again = toy()
    with_folder(again, run_dir, {"lr": 0.2, "resume": True}, resume=True)
    with caplog.at_level(logging.WARNING):
        again.run()
    after = record(run_dir)
    assert (after["finished"], after["epochs"], after["started"]) == (True, 4, before["started"])
    assert after["seconds"] >= before["seconds"]
    assert [(entry["first_epoch"], entry["changed"]) for entry in after["resumed"]] == [(3, ["lr"])]
    assert any("another configuration" in line and "lr" in line for line in caplog.messages)
    assert not is_locked(run_dir)


def test_an_early_stop_is_an_end(toy: Any, run_dir: Path) -> None:
    run = toy(max_epochs=9, scores=lambda epoch: -epoch)
    EarlyStop(run.evaluator, patience=1).attach(run.trainer)
    with_folder(run, run_dir)
    run.run()
    found = record(run_dir)
    assert (found["finished"], found["ended"], found["epochs"]) == (True, "early stop", 2)


def test_a_refused_or_needless_run_leaves_the_folder_as_it_was(toy: Any, run_dir: Path) -> None:
    run = toy(max_epochs=1)
    with_folder(run, run_dir, {"lr": 1})
    run.run()
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    refused = toy(max_epochs=1)
    held = with_folder(refused, run_dir, {"lr": 2})
    with pytest.raises(UsageError, match="already holds"):
        refused.run()
    held._release()  # as the end of its process would
    needless = toy(max_epochs=1)
    with_folder(needless, run_dir, {"lr": 3}, resume=True)
    needless.run()
    assert {path.name: path.read_bytes() for path in run_dir.iterdir()} == before


def test_a_folder_in_use_is_not_trained_into(toy: Any, run_dir: Path) -> None:
    killed = toy(kill_in=(1, 1))
    first = with_folder(killed, run_dir)
    killed.run_until_killed()
    second = toy()
    with_folder(second, run_dir)
    with pytest.raises(UsageError, match="another process"):
        second.run()
    assert second.history == {}
    first._release()


def test_the_configuration_is_that_of_the_bundle_run_with_its_overrides() -> None:
    parser = ConfigParser(
        {
            "seed": 3,
            "channels": [8, 16],
            "network_def": {"_target_": "torch.nn.Linear", "in_features": "@channels#0", "out_features": 4},
            "folder": {"_target_": "scripts.handlers.run_folder.RunFolder", "run_dir": "nowhere", "seed": "@seed"},
            "all": {"first": "@folder", "second": "$@network_def.weight.shape"},
        }
    )
    parser.read_meta({"version": "0"})
    parser.update({"seed": 5, "network_def#out_features": 6})
    parser.parse()
    folder = parser.get_parsed_content("all")["first"]
    assert folder.seed == 5
    assert folder.config["seed"] == 5
    assert folder.config["network_def"]["out_features"] == 6
    assert folder.config["network_def"]["in_features"] == "@channels::0"
    assert "_meta_" not in folder.config
    assert enclosing_config() == {}  # outside a bundle run
    assert look_up(folder.config, folder.config["network_def"])["in_features"] == 8


def test_differing_ids_name_the_leaves() -> None:
    before = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    after = {"a": {"b": 2, "c": [1, 2]}, "e": 1}
    assert differing_ids(before, after) == ["a::b", "d", "e"]
    assert differing_ids(before, before) == []
