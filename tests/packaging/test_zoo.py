# SPDX-License-Identifier: Apache-2.0
"""What the MONAI Model Zoo asks of a bundle before it takes one, asked of the unpacked package.

The zoo's own checks run on its servers; these ask the same in our words, with MONAI's commands where the zoo uses them.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

Run = Callable[..., subprocess.CompletedProcess[str]]
SCHEMA = Path(__file__).resolve().parents[1] / "bundle" / "meta_schema.json"
LARGEST = 25 * 10**6  # bytes
VERIFY = """
from monai.bundle import ConfigWorkflow
import sys
kind, config, out = sys.argv[1:]
workflow = ConfigWorkflow(config_file=config, workflow_type=kind, logging_file=False, dataset_dir=out, output_dir=out)
workflow.initialize()
print("MISSING", workflow.check_properties())
"""


@pytest.fixture(scope="module")
def metadata(unpacked: Path) -> dict[str, Any]:
    return json.loads((unpacked / "configs" / "metadata.json").read_text())


# ---- minimal ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["configs/metadata.json", "LICENSE"])
def test_necessary_files_are_there(unpacked: Path, name: str) -> None:
    assert (unpacked / name).stat().st_size > 0


@pytest.mark.parametrize("name", ["models/model.pt", "configs/inference.json", "docs/README.md"])
def test_preferred_files_are_there(unpacked: Path, name: str) -> None:
    assert (unpacked / name).stat().st_size > 0


def test_files_are_small_enough_to_need_no_download(unpacked: Path) -> None:
    assert not list(unpacked.glob("large_files.*"))
    assert [path for path in unpacked.rglob("*") if path.is_file() and path.stat().st_size > LARGEST] == []


def test_the_folder_is_named_as_the_zoo_names_bundles(unpacked: Path, metadata: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", unpacked.name)
    assert metadata["name"] == unpacked.name
    # Words by which MONAI Label would take it for another kind of task.
    assert not re.search("segmentation|deepedit|detection|classification", unpacked.name)


def test_the_version_is_in_the_changelog(metadata: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["version"])
    assert metadata["changelog"][metadata["version"]].strip()


# ---- regular: keys and words of the configs, and the metadata's form -------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("inference", "bundle_root device dataset_dir output_dir network_def inferer"),
        ("train", "bundle_root device dataset_dir output_dir val_interval"),
        ("train", "train::trainer train::trainer::max_epochs train::dataset train::dataset::data train::handlers"),
        ("train", "validate::evaluator validate::handlers validate::dataset validate::dataset::data"),
        ("train", "train::preprocessing train::inferer validate::preprocessing validate::inferer validate::key_metric"),
    ],
)
@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_configs_have_the_ids_that_other_tools_look_for(unpacked: Path, name: str, ids: str, suffix: str) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(str(unpacked / "configs" / f"{name}.{suffix}")))
    assert [config_id for config_id in ids.split() if config_id not in parser] == []


def test_validation_runs_at_the_interval_that_has_a_name(unpacked: Path) -> None:
    config = ConfigParser.load_config_file(str(unpacked / "configs" / "train.yaml"))
    (handler,) = (h for h in config["train"]["handlers"] if h["_target_"] == "ValidationHandler")
    assert handler["interval"] == "@val_interval"


def test_the_network_is_the_same_in_each_config(unpacked: Path) -> None:
    state = torch.load(unpacked / "models" / "model.pt", weights_only=True)
    for name in ("train.json", "train.yaml", "inference.json", "inference.yaml", "evaluate.yaml"):
        parser = ConfigParser(ConfigParser.load_config_file(str(unpacked / "configs" / name)))
        parser.get_parsed_content("network_def").load_state_dict(state, strict=True)


@pytest.mark.slow
def test_metadata_and_shapes_are_verified_by_monai(unpacked: Path, alone: Run) -> None:
    meta = ("--meta_file", "configs/metadata.json")
    done = alone("-m", "monai.bundle", "verify_metadata", *meta, "--filepath", SCHEMA, cwd=unpacked)
    assert "metadata is verified with no error" in done.stdout + done.stderr
    alone(
        *("-m", "monai.bundle", "verify_net_in_out", "network_def", *meta),
        *("--config_file", "configs/inference.json"),
        cwd=unpacked,
    )


# ---- full: properties, TorchScript, and each config run --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "config"),
    [("train", "train.json"), ("train", "train.yaml"), ("infer", "evaluate.yaml"), ("infer", "inference.json")],
)
def test_a_workflow_has_every_property(unpacked: Path, alone: Run, pairs: Path, kind: str, config: str) -> None:
    done = alone("-c", VERIFY, kind, f"configs/{config}", pairs, cwd=unpacked)
    assert done.stdout.splitlines()[-1] == "MISSING []"


@pytest.mark.slow
def test_the_weights_become_torchscript_that_computes_the_same(unpacked: Path, alone: Run, tmp_path: Path) -> None:
    alone(
        *("-m", "monai.bundle", "ckpt_export", "network_def", "--filepath", tmp_path / "model.ts"),
        *("--ckpt_file", "models/model.pt", "--meta_file", "configs/metadata.json"),
        *("--config_file", "configs/inference.json"),
        cwd=unpacked,
    )
    parser = ConfigParser(ConfigParser.load_config_file(str(unpacked / "configs" / "inference.json")))
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(unpacked / "models" / "model.pt", weights_only=True))
    exported = torch.jit.load(tmp_path / "model.ts").eval()
    image = torch.rand(2, 1, 61, 48)
    with torch.no_grad():
        for target in (0, 1):
            torch.testing.assert_close(exported(image, target), network(image, target), rtol=0, atol=1e-5)
