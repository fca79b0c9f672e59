# SPDX-License-Identifier: Apache-2.0
"""The scale head is trained by its config: predictions once, the synthesis untouched, a cut-off run goes on."""

from __future__ import annotations

import gc
import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser

from scripts.intervals.scale_network import ScaleNet
from scripts.uncertainty.predictions import cached_predictions
from scripts.uncertainty.slices import MOST_WEIGHT, PredictedSlices

CONFIG = Path(__file__).resolve().parents[2] / "bundle" / "configs" / "uncertainty.yaml"
NETWORK = {
    "encoder": {"features": [4, 8], "latent_channels": 8},
    **{f"decoder_{domain}": {"features": [8, 4]} for domain in "ab"},
}


def config(tmp_path: Path, checkpoint: Path, **changes: Any) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(CONFIG)
    settings = {
        "output_dir": str(tmp_path / "runs"),
        "cache_dir": str(tmp_path / "cache"),
        "checkpoint": str(checkpoint),
        "simulated": {
            "cache_dir": str(tmp_path / "cache"),
            "studies": {"training": 3, "validation": 1, "test": 1},
            "presets": {"training": "clinical"},
            "seed": 1,
            "shape": [2, 32, 32],
        },
        "samples_per_epoch": 8,
        "max_epochs": 2,
        "least_side": 0,
        "device": "cpu",
        **changes,
    }
    for key, value in settings.items():
        parser[key] = value
    parser["network_def"].update(NETWORK)
    parser["head_def"].update({"features": [4, 8], "fine": 4})
    return parser


def run(parser: ConfigParser) -> Path:
    for key in ("initialize", "training"):
        parser.get_parsed_content(key)
    return Path(parser.get_parsed_content("run_dir"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    parser = config(tmp_path, tmp_path / "model.pt")
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.mark.slow
def test_a_cut_off_run_ends_with_the_head_of_one_that_was_not(checkpoint: Path, tmp_path: Path) -> None:
    before = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    whole = run(config(tmp_path, checkpoint, output_dir=str(tmp_path / "whole")))
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("predictions-*/*.pt")}
    assert len(made) == 6  # three patients, both directions
    cut = config(tmp_path, checkpoint, output_dir=str(tmp_path / "cut"))

    def end() -> None:
        raise InterruptedError

    for key in ("initialize", "train#trainer"):
        cut.get_parsed_content(key)
    trainer = cut.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.EPOCH_STARTED(event_filter=lambda engine, number: number == 2), end)
    with pytest.raises(InterruptedError):
        trainer.run()
    folder = Path(cut.get_parsed_content("run_dir"))
    del cut, trainer
    gc.collect()  # a killed process would have given up its lock
    again = run(config(tmp_path, checkpoint, output_dir=str(tmp_path / "cut"), resume=True))
    assert again == folder
    assert {path: path.stat().st_mtime_ns for path in made} == made  # predicted once
    heads = [torch.load(folder / "last.pt", weights_only=True)["parts"]["network"] for folder in (whole, again)]
    assert len((whole / "curves.csv").read_text().splitlines()) == 3
    ScaleNet(features=[4, 8], fine=4).load_state_dict(heads[0])
    for name, value in heads[0].items():
        torch.testing.assert_close(value, heads[1][name], atol=1e-6, rtol=0)
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() == before


def test_errors_are_against_the_clean_target_and_slices_follow_seed_epoch_and_index(
    checkpoint: Path, tmp_path: Path
) -> None:
    rng = torch.Generator().manual_seed(0)
    volumes = {name: torch.rand(1, 4, 12, 10, generator=rng) for name in ("image", "label", "label_clean")}

    class Half(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(0.5))

    network = Half()
    torch.save(network.state_dict(), tmp_path / "half.pt")
    files = cached_predictions(
        [{"patient": "p", **{name: name for name in volumes}}],
        lambda data: {name: volumes[name] for name in data},
        network,
        str(tmp_path / "half.pt"),
        lambda volume, net, target: volume * net.factor,
        ["PD", "PDFS"],
        str(tmp_path / "cache"),
    )
    content = torch.load(files[0], weights_only=True)
    expected = volumes["label_clean"] - 0.5 * volumes["image"]
    torch.testing.assert_close(content["label"][:, :1].float().transpose(0, 1), expected, atol=1e-3, rtol=0)
    assert content["inputs"][:, 2].abs().max() < 1e-3  # this synthesis commutes with mirrors
    one, other = PredictedSlices(files, 6, seed=1), PredictedSlices(files, 6, seed=1)
    for dataset in (one, other):
        dataset.set_epoch(2)
    assert all(torch.equal(one[i]["image"], other[i]["image"]) for i in range(6))
    other.set_epoch(3)
    assert any(not torch.equal(one[i]["image"], other[i]["image"]) for i in range(6))
    assert len(PredictedSlices(files)) == 8


def test_a_rare_tissue_weighs_more_and_an_unknown_one_as_it_is(tmp_path: Path) -> None:
    body = torch.ones(4, 1, 8, 8)
    body[:, :, 0] = 0
    content = {
        "inputs": torch.rand(4, 3, 8, 8).half(),
        "label": torch.cat((torch.rand(4, 1, 8, 8), body), 1).half(),
        "target": 1,
    }
    torch.save(content, tmp_path / "a.pt")
    tissue = torch.full((2, 8, 8), 2, dtype=torch.uint8)
    tissue[0, 1, 0] = 4
    known = PredictedSlices([tmp_path / "a.pt"], tissues=[tissue], every=2)
    assert len(known) == 2
    first = known[0]["label"]
    torch.testing.assert_close(known[1]["image"], content["inputs"][2].float())
    torch.testing.assert_close(first[2], tissue[0].float())
    assert first[1, 1, 0] == MOST_WEIGHT and (first[1, 0] == 0).all()
    assert 0 < first[1, 2, 0] < 1
    plain = PredictedSlices([tmp_path / "a.pt"], tissues=[None])[0]["label"]
    torch.testing.assert_close(plain[1], body[0, 0])
    assert (plain[2] == -1).all()
