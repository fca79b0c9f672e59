# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import scripts.cli.train as verb
from scripts.bundle_config import read_config
from scripts.cli.app import main
from scripts.errors import UsageError
from scripts.handlers.curves import read_curves

ROOT = Path(__file__).resolve().parents[2]
BASE = read_config(ROOT / "bundle" / "configs" / "train.yaml")


@pytest.fixture
def assembled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Configs that would have been trained."""
    monkeypatch.chdir(ROOT)
    configs: list[dict[str, Any]] = []
    monkeypatch.setattr(verb, "run_training", configs.append)
    return configs


def overlay(tmp_path: Path, text: str, name: str = "overlay.yaml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def differences(config: dict[str, Any]) -> dict[str, Any]:
    """What a config sets otherwise than train.yaml, by leaf."""

    def leaves(value: Any, prefix: str = "") -> dict[str, Any]:
        if not isinstance(value, dict):
            return {prefix: value}
        return {k: v for key, item in value.items() for k, v in leaves(item, f"{prefix}::{key}".lstrip(":")).items()}

    base = leaves(verb.with_optional_settings(BASE))
    return {key: value for key, value in leaves(config).items() if key not in base or base[key] != value}


def test_without_anything_it_is_the_one_file_command(assembled: list[dict[str, Any]]) -> None:
    assert main(["train"]) == 0
    assert differences(assembled[0]) == {}


def test_options_are_ids(assembled: list[dict[str, Any]]) -> None:
    assert main(["train", "--epochs", "10", "--no-wandb", "--resume", "dataset_dir=/data/knees"]) == 0
    assert differences(assembled[0]) == {"max_epochs": 10, "resume": True, "dataset_dir": "/data/knees"}
    assert assembled[0]["wandb"] is False
    assert main(["train", "--wandb"]) == 0
    assert assembled[1]["wandb"] is True


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["loss_weights.recon=0.1"], {"loss_weights::recon": 0.1}),
        (["loss_weights#recon=1e-3"], {"loss_weights::recon": 1e-3}),
        (["network_def::encoder::latent_channels=512"], {"network_def::encoder::latent_channels": 512}),
        (["augmentation.size=[64, 96]"], {"augmentation::size": [64, 96]}),
        (["train.trainer.max_epochs=3"], {"train::trainer::max_epochs": 3}),
    ],
    ids=["dotted", "hash and exponent", "colons", "list", "inside a component"],
)
def test_settings_on_the_command_line(
    assembled: list[dict[str, Any]], words: list[str], expected: dict[str, Any]
) -> None:
    assert main(["train", *words]) == 0
    assert differences(assembled[0]) == expected


PREDECESSOR = {
    "encoder": {"latent_channels": 512, "features": [128, 256, 512]},
    "decoder_a": {"features": [512, 256, 128]},
    "decoder_b": {"features": [512, 256, 128]},
    "same_domain_use_skip": False,
    "cross_domain_strategy": "no_skip",
    "loss_weights": {"content": 1.0, "recon": 0.5, "cross": 2.0},
}


@pytest.mark.parametrize("style", ["yaml", "json", "dotted"])
def test_the_predecessor_s_settings_arrive_in_the_network(
    assembled: list[dict[str, Any]], tmp_path: Path, style: str
) -> None:
    if style == "dotted":
        flat = {
            f"{key}.{name}" if isinstance(value, dict) else key: item
            for key, value in PREDECESSOR.items()
            for name, item in (value.items() if isinstance(value, dict) else [("", value)])
        }
        path = overlay(tmp_path, yaml.safe_dump(flat))
    elif style == "json":
        path = overlay(tmp_path, json.dumps(PREDECESSOR), "overlay.json")
    else:
        path = overlay(tmp_path, yaml.safe_dump(PREDECESSOR))
    assert main(["train", "--config", path]) == 0
    network = assembled[0]["network_def"]
    assert {key: network[key] for key in PREDECESSOR if key != "loss_weights"} == {
        key: value for key, value in PREDECESSOR.items() if key != "loss_weights"
    }
    assert assembled[0]["loss_weights"] == PREDECESSOR["loss_weights"]


def test_such_a_network_can_be_built(assembled: list[dict[str, Any]], tmp_path: Path) -> None:
    from scripts.networks import CrossContrastNet

    small = PREDECESSOR | {
        "encoder": {"latent_channels": 16, "features": [4, 8]},
        "decoder_a": {"features": [8, 4]},
        "decoder_b": {"features": [8, 4]},
    }
    assert main(["train", "-c", overlay(tmp_path, yaml.safe_dump(small))]) == 0
    settings = {key: value for key, value in assembled[0]["network_def"].items() if key != "_target_"}
    network = CrossContrastNet(**settings | {"contrasts": ["PD", "PDFS"]})
    assert network.strategy == "no_skip" and not network.use_skips


def test_a_partial_mapping_of_the_predecessor_leaves_the_rest(assembled: list[dict[str, Any]], tmp_path: Path) -> None:
    assert main(["train", "-c", overlay(tmp_path, "loss_weights: {recon: 0.25}")]) == 0
    assert differences(assembled[0]) == {"loss_weights::recon": 0.25}


def test_the_command_line_wins_over_the_config(assembled: list[dict[str, Any]], tmp_path: Path) -> None:
    path = overlay(tmp_path, "max_epochs: 5\nloss_weights: {content: 1, recon: 1, cross: 1}\n")
    assert main(["train", "-c", path, "--epochs", "7", "loss_weights.recon=0.5"]) == 0
    assert assembled[0]["max_epochs"] == 7
    assert assembled[0]["loss_weights"] == {"content": 1, "recon": 0.5, "cross": 1}


def test_our_overlays_apply(assembled: list[dict[str, Any]]) -> None:
    assert main(["train", "-c", "bundle/configs/smoke.yaml"]) == 0
    assert assembled[0]["simulated"]["shape"] == read_config("bundle/configs/smoke.yaml")["simulated::shape"]


def test_a_complete_config_stands_alone(assembled: list[dict[str, Any]], tmp_path: Path) -> None:
    complete = BASE | {"max_epochs": 3, "my_note": "$'used below'", "output_dir": "@my_note"}
    assert main(["train", "-c", overlay(tmp_path, yaml.safe_dump(complete)), "seed=4"]) == 0
    assert differences(assembled[0]) == {
        "max_epochs": 3,
        "my_note": "$'used below'",
        "output_dir": "@my_note",
        "seed": 4,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_epoch: 3", ["`max_epoch`", "`max_epochs`"]),
        ("encoder: {latent_chanels: 64}", ["latent_chanels", "`network_def::encoder::latent_channels`"]),
        ("encoder.latent_chanels: 64", ["latent_chanels", "`network_def::encoder::latent_channels`"]),
        ("loss_weights: {crosss: 1.0}", ["`loss_weights::crosss`", "`loss_weights::cross`"]),
        ("cross_domain_stategy: no_skip", ["`cross_domain_stategy`"]),
        ("train::trainer::max_epoch: 3", ["`train::trainer::max_epoch`", "`train::trainer::max_epochs`"]),
    ],
)
def test_a_misspelt_key_is_refused_with_the_nearest_one(
    assembled: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    words: list[str],
) -> None:
    assert main(["train", "--config", overlay(tmp_path, text)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    assert assembled == []


def test_misspelt_keys_of_complete_configs_and_of_the_command_line_too(
    assembled: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complete = {**BASE, "max_epochz": 3}
    assert main(["train", "-c", overlay(tmp_path, yaml.safe_dump(complete))]) == 2
    assert "`max_epochz` (did you mean `max_epochs`?)" in capsys.readouterr().err
    misspelt = {**BASE, "optimizer": {**BASE["optimizer"], "weight_decai": 0.1}}
    assert main(["train", "-c", overlay(tmp_path, yaml.safe_dump(misspelt))]) == 2
    assert "weight_decai" in capsys.readouterr().err
    assert main(["train", "sed=4"]) == 2
    assert "`sed` (did you mean `seed`?)" in capsys.readouterr().err
    assert main(["train", "max_epochs:3"]) == 2
    assert "KEY=VALUE" in capsys.readouterr().err
    assert main(["train", "-c", str(tmp_path / "nowhere.yaml")]) == 2
    assert assembled == []


def test_every_setting_of_the_predecessor_has_a_place_in_train_yaml() -> None:
    from monai.bundle import ConfigParser

    parser = ConfigParser(verb.with_optional_settings(BASE))
    for key, place in verb.PREDECESSOR_KEYS.items():
        assert place in parser, key


def test_optional_settings_are_the_network_s_own_defaults() -> None:
    import inspect

    from scripts.networks import CrossContrastNet

    parameters = inspect.signature(CrossContrastNet).parameters
    assert {name: parameters[name].default for name in verb.OPTIONAL_SETTINGS} == verb.OPTIONAL_SETTINGS


TINY = {
    "network_def::encoder": {"features": [4, 8], "latent_channels": 8},
    "network_def::decoder_a": {"features": [8, 4]},
    "network_def::decoder_b": {"features": [8, 4]},
    "simulated::studies": {"training": 1, "validation": 1, "test": 1},
    "simulated::shape": [3, 48, 48],
    "augmentation::size": [32, 32],
    "samples_per_epoch": 4,
    "batch_size": 2,
    "val_interval": 1,
}


def test_it_trains_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # not the repository root: the bundle is found all the same
    config = overlay(tmp_path, yaml.safe_dump(TINY))
    assert main(["train", "-c", config, "--epochs", "2"]) == 0
    (folder,) = (tmp_path / "outputs").iterdir()
    assert [row["epoch"] for row in read_curves(folder / "curves.csv")] == [1, 2]
    assert json.loads((folder / "run.json").read_text("utf-8"))["finished"] is True
    assert main(["train", "-c", config, "--epochs", "3", "--resume", f"run_dir={folder}"]) == 0
    assert [row["epoch"] for row in read_curves(folder / "curves.csv")] == [1, 2, 3]


def test_a_refusal_inside_the_bundle_keeps_its_words_and_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    tiny = ["train", "-c", overlay(tmp_path, yaml.safe_dump(TINY)), f"cache_dir={tmp_path}"]
    assert main([*tiny, "--resume", f"output_dir={tmp_path / 'nothing'}"]) == 2
    assert "no unfinished training run" in capsys.readouterr().err.splitlines()[-1]
    assert main([*tiny, "cross_domain_strategy=zero_skip", f"output_dir={tmp_path}"]) == 2
    assert "allow_asymmetric" in capsys.readouterr().err.splitlines()[-1]


def test_foreign_errors_are_not_taken_for_ours() -> None:
    def ours() -> None:
        raise UsageError("x")

    try:
        int("no number")
    except ValueError as error:
        assert not verb._is_ours(error)
    try:
        verb.parse_overrides(["x"])
    except UsageError as error:
        assert verb._is_ours(error)
