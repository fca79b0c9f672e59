# SPDX-License-Identifier: Apache-2.0
"""The bundle as MONAI's own tools see it: required properties, and the network as the metadata describes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, verify_net_in_out

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"
WORKFLOWS = {"train": "train", "evaluate": "infer", "inference": "infer"}


def workflow(name: str, dataset_dir: Path, scratch: Path) -> ConfigWorkflow:
    overrides = {"dataset_dir": str(dataset_dir), "output_dir": str(scratch / "out")}
    if name != "train":  # any weights of the right shape: what is asked here does not depend on the shipped ones
        overrides["checkpoint"] = str(scratch / "model.pt")
        parser = ConfigParser()
        parser.read_config(str(CONFIGS / f"{name}.yaml"))
        torch.save(parser.get_parsed_content("network_def").state_dict(), overrides["checkpoint"])
    return ConfigWorkflow(
        config_file=str(CONFIGS / f"{name}.yaml"),
        workflow_type=WORKFLOWS[name],
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        **overrides,
    )


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_has_every_property_that_monai_asks_for(name: str, pairs: Path, tmp_path: Path) -> None:
    checked = workflow(name, pairs, tmp_path)
    checked.initialize()
    assert checked.check_properties() == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_missing_property_is_found(name: str, pairs: Path, tmp_path: Path) -> None:
    checked = workflow(name, pairs, tmp_path)
    checked.initialize()
    checked.add_property("thing", required=True, config_id="no_such_thing")
    with pytest.raises(KeyError, match="no_such_thing"):
        checked.check_properties()


@pytest.mark.parametrize("side", [1, 37, 64])
@pytest.mark.parametrize("name", WORKFLOWS)
def test_network_takes_and_gives_what_the_metadata_says(name: str, side: int) -> None:
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / f"{name}.yaml"),
        device="cpu",
        any=side,
    )


def test_a_wrong_channel_count_is_found(tmp_path: Path) -> None:
    metadata = json.loads((CONFIGS / "metadata.json").read_text())
    metadata["network_data_format"]["outputs"]["pred"]["num_channels"] = 2
    wrong = tmp_path / "metadata.json"
    wrong.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="output channel number"):
        verify_net_in_out(
            net_id="network_def",
            meta_file=str(wrong),
            config_file=str(CONFIGS / "inference.yaml"),
            device="cpu",
        )


def test_monai_accepts_the_logging_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[object] = []
    monkeypatch.setattr("monai.bundle.workflows.fileConfig", lambda *args, **kwargs: applied.append(args))
    config = tmp_path / "configs"
    config.mkdir()
    (config / "inference.yaml").write_text("run: []\n")
    ConfigWorkflow(
        config_file=str(config / "inference.yaml"),
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=str(CONFIGS / "logging.conf"),
        workflow_type=None,
    )
    assert applied, "MONAI checked the file and never applied it"
