# SPDX-License-Identifier: Apache-2.0
"""``kneesynth diagnose`` from files to exit code."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from scripts.cli.app import main
from scripts.cli.diagnose import assemble_diagnosis
from scripts.cli.diagnosis_source import find_source
from scripts.cli.train import assemble
from scripts.handlers.curves import format_curves
from scripts.networks import CrossContrastNet

ROOT = Path(__file__).resolve().parents[2]
NETWORK = {
    "network_def::encoder": {"features": [4, 8], "latent_channels": 8},
    "network_def::decoder_a": {"features": [8, 4]},
    "network_def::decoder_b": {"features": [8, 4]},
}
TINY = NETWORK | {
    "simulated::studies": {"training": 2, "validation": 1, "test": 1},
    "simulated::shape": [3, 48, 48],
    "augmentation::size": [32, 32],
}


@pytest.fixture(autouse=True)
def repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def overlay(tmp_path: Path) -> Callable[..., str]:
    def write(settings: dict[str, Any], name: str = "overlay.yaml") -> str:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_the_shipped_settings_hold_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "bundle/configs/train.yaml", "0"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert "too early to tell" in first and first.endswith("Next: kneesynth train")


@pytest.mark.parametrize(
    ("settings", "mends"),
    [
        ({"cross_domain_strategy": "zero_skip"}, "cross_domain_strategy=source_skip"),
        ({"cross_domain_strategy": "no_skip", "same_domain_use_skip": True}, "cross_domain_strategy=source_skip"),
        ({"loss_weights": {"recon": 100}}, "loss_weights.recon=0.05"),
    ],
    ids=["zeros", "the predecessor's", "recon"],
)
def test_a_fault_in_the_settings_names_the_command_that_mends_it(
    overlay: Callable[..., str], capsys: pytest.CaptureFixture[str], settings: dict[str, Any], mends: str
) -> None:
    path = overlay(settings)
    assert main(["diagnose", path, "0"]) == 10
    first = capsys.readouterr().out.splitlines()[0]
    command = shlex.split(first.partition(" Next: ")[2])
    assert command[:4] == ["kneesynth", "train", "--config", path] and mends in command
    # what it says is what `train` takes, and it mends the fault
    from scripts.cli.train import parse_overrides

    mended = overlay(assemble(Path(path), parse_overrides(command[4:])), "mended.yaml")
    assert main(["diagnose", mended, "0"]) == 0


def test_a_config_is_measured(overlay: Callable[..., str], cache: Path, tmp_path: Path) -> None:
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    config = overlay(TINY | {"cache_dir": str(cache)})
    assert main(["diagnose", config, "2", "--html", str(page), "--json", str(numbers)]) == 0
    report = json.loads(numbers.read_text())
    assert report["verdict"] == "too early to tell"
    assert report["evidence"]["measured"]["slices"] == 4
    assert report["sentence"] in page.read_text()


def test_a_refused_network_is_measured_all_the_same(overlay: Callable[..., str], cache: Path, tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.json"
    config = overlay(TINY | {"cache_dir": str(cache), "cross_domain_strategy": "no_skip", "same_domain_use_skip": True})
    assert main(["diagnose", config, "1", "--json", str(numbers)]) == 10
    measured = json.loads(numbers.read_text())["evidence"]["measured"]
    assert (measured["same_domain"], measured["cross_domain"]) == ("real", "zeros")


@pytest.fixture
def run_folder(tmp_path: Path, cache: Path, overlay: Callable[..., str]) -> Path:
    """A run of five epochs whose encoder was frozen, as its optimiser remembers."""
    folder = tmp_path / "run"
    folder.mkdir()
    config = assemble(Path(overlay(TINY | {"cache_dir": str(cache)})), {})
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    rows = [{"epoch": i, "loss": 1.0 / i, "content": 0.1, "recon": 1.0 / i, "cross": 1.0 / i} for i in range(1, 6)]
    (folder / "curves.csv").write_text(format_curves([dict(row) for row in rows]))
    torch.manual_seed(0)
    settings = {key: value for key, value in config["network_def"].items() if key != "_target_"}
    network = CrossContrastNet(**settings | {"contrasts": ["PD", "PDFS"]})
    network.encoder.requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters())
    network.pair(*torch.rand(2, 2, 1, 16, 16))["a_from_b"].mean().backward()
    network.pair(*torch.rand(2, 2, 1, 16, 16))["b_from_a"].mean().backward()
    optimizer.step()
    parts = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({"format": 1, "epoch": 5, "parts": parts}, folder / "last.pt")
    torch.save(network.state_dict(), folder / "model.pt")
    return folder


@pytest.mark.parametrize("name", ["", "last.pt"], ids=["folder", "checkpoint"])
def test_a_run_folder_and_a_checkpoint(run_folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(run_folder / name), "1"]) == 10
    out = capsys.readouterr().out
    assert out.startswith("The encoder is frozen")
    assert "epochs" in out


def test_curves_alone(run_folder: Path, tmp_path: Path) -> None:
    assert main(["diagnose", str(run_folder / "curves.csv")]) == 0
    flat = [{"epoch": i, "content": 0.1, "recon": 1.0 / i, "cross": 1.0} for i in range(1, 9)]
    alone = tmp_path / "flat.csv"
    alone.write_text(format_curves([dict(row) for row in flat]))
    assert main(["diagnose", str(alone)]) == 10


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nowhere.yaml"], 2),
        (["broken.yaml"], 2),
        (["misspelt.yaml"], 2),
        (["nowhere.pt"], 7),
        (["alone.pt"], 2),
        (["empty.csv"], 2),
        (["text.csv"], 2),
        (["folder"], 2),
        (["empty_run"], 7),
        (["bundle/configs/train.yaml", "--checkpoint", "nowhere.pt"], 7),
        (["bundle/configs/train.yaml", "--json", "no/such/folder.json"], 8),
        (["bundle/configs/train.yaml", "-1"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1")
    (tmp_path / "misspelt.yaml").write_text("max_epoch: 3")
    (tmp_path / "alone.pt").write_bytes(b"no weights")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "text.csv").write_text("epoch,cross\n1,high\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty_run").mkdir()
    (tmp_path / "empty_run" / "config.yaml").write_text((ROOT / "bundle" / "configs" / "train.yaml").read_text())
    first = words[0] if words[0].startswith("bundle") else str(tmp_path / words[0])
    assert main(["diagnose", first, *words[1:]]) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_torn_weights_are_refused(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_folder / "last.pt").write_bytes(b"torn")
    assert main(["diagnose", str(run_folder), "1"]) == 7
    assert capsys.readouterr().err.splitlines()[-1].startswith("kneesynth: ")


def test_nothing_of_the_run_s_data_and_network_is_replaced(run_folder: Path) -> None:
    source = find_source(run_folder)
    run, diagnosed = assemble(source.config, {}), assemble_diagnosis(source, 5)
    for key in ("train", "loss", "optimizer", "network", "augmentation", "dataset_dir", "thresholds"):
        assert diagnosed[key] == run[key], key
