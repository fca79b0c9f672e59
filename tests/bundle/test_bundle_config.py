# SPDX-License-Identifier: Apache-2.0
"""scripts.bundle_config on toy configs: what MONAI would ignore is found, what it does is reproduced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from monai.bundle import ConfigParser

from scripts.bundle_config import dropped_ids, load_config, target_faults, unknown_ids
from scripts.errors import UsageError

BASE: dict[str, Any] = {
    "max_epochs": 100,
    "loss_weights": {"content": 1.0, "recon": 0.05, "cross": 1.0},
    "optimizer": {"_target_": "torch.optim.Adam", "params": "$@network_def.parameters()", "lr": 1e-3},
    "train": {"handlers": [{"_target_": "StatsHandler", "name": "a"}], "crop": [128, 128]},
    "run": "%training",
}


@pytest.mark.parametrize(
    "overlay",
    [
        {"max_epochs": 3},
        {"loss_weights": {"content": 0.0, "recon": 1.0, "cross": 1.0}},
        {"loss_weights::recon": 1.0},
        {"loss_weights#recon": 1.0},
        {"+loss_weights": {"recon": 1.0}},
        {"train::crop": [64, 64]},
        {"train::crop::0": 64},
        {"train::handlers::0::_disabled_": True},
        {"+train::handlers": [{"_target_": "StatsHandler", "name": "b"}]},
        {"optimizer": {"_target_": "torch.optim.SGD", "params": "$@network_def.parameters()", "momentum": 0.9}},
        {"optimizer::lr": 1e-4},
    ],
    ids=str,
)
def test_known_ids_pass_and_merge_as_monai_does(overlay: dict[str, Any], tmp_path: Path) -> None:
    files = [tmp_path / "base.yaml", tmp_path / "overlay.yaml"]
    for path, config in zip(files, (BASE, overlay), strict=True):
        path.write_text(yaml.safe_dump(config))

    merged = load_config(files[0], [files[1]])

    assert unknown_ids(BASE, overlay) == []
    assert merged == ConfigParser.load_config_files([str(path) for path in files])


@pytest.mark.parametrize(
    ("overlay", "unknown"),
    [
        ({"max_epoch": 3}, ["max_epoch"]),
        ({"loss_weights": {"content": 0.0, "recn": 1.0, "cross": 1.0}}, ["loss_weights::recn"]),
        ({"loss_weights::recn": 1.0}, ["loss_weights::recn"]),
        ({"loss_weights#recn": 1.0}, ["loss_weights::recn"]),
        ({"+loss_weights": {"recn": 1.0}}, ["loss_weights::recn"]),
        ({"+handlers": []}, ["handlers"]),
        ({"train::handlers::1::name": "b"}, ["train::handlers::1::name"]),
        ({"train": {"crop": [1, 1], "crops": 2}}, ["train::crops"]),
        ({"optimizer::momentum": 0.9}, ["optimizer::momentum"]),
        ({"nothing::_disabled_": True}, ["nothing::_disabled_"]),
        ({"max_epochs": 1, "epochs": 1, "seeds": 2}, ["epochs", "seeds"]),
    ],
    ids=str,
)
def test_unknown_ids_are_found_and_refused(overlay: dict[str, Any], unknown: list[str]) -> None:
    assert unknown_ids(BASE, overlay) == unknown
    with pytest.raises(UsageError) as refusal:
        load_config(BASE, [overlay])
    message = str(refusal.value)
    assert all(name in message for name in unknown)
    assert "\n" not in message


def test_refusal_names_the_nearest_known_key() -> None:
    with pytest.raises(UsageError, match="did you mean `max_epochs`"):
        load_config(BASE, [{"max_epoch": 3}])


def test_a_mapping_that_would_lose_settings_is_refused() -> None:
    overlay = {"loss_weights": {"recon": 1.0}}
    assert dropped_ids(BASE, overlay) == ["loss_weights::content", "loss_weights::cross"]
    with pytest.raises(UsageError, match=r"`\+loss_weights:`"):
        load_config(BASE, [overlay])
    assert dropped_ids(BASE, {"+loss_weights": {"recon": 1.0}}) == []
    assert dropped_ids(BASE, {"+train": {"crop": [1, 1]}}) == []


def test_each_overlay_is_checked_against_the_chain_before_it() -> None:
    first = {"optimizer": {"_target_": "torch.optim.SGD", "params": "$@network_def.parameters()", "momentum": 0.9}}
    merged = load_config(BASE, [first, {"optimizer::momentum": 0.5}])
    assert merged["optimizer"]["momentum"] == 0.5
    with pytest.raises(UsageError, match="optimizer::lr"):
        load_config(BASE, [first, {"optimizer::lr": 0.5}])


def test_base_is_left_as_it_was() -> None:
    base = yaml.safe_load(yaml.safe_dump(BASE))
    load_config(base, [{"loss_weights::recon": 9.0, "+train::handlers": [1]}])
    assert base == BASE


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "a: [1\n", "valid YAML"),
        ("a.yaml", "a: 1\na: 2\n", "[Dd]uplicate"),
        ("a.yaml", "- 1\n", "no keys"),
        ("a.yaml", "", "no keys"),
        ("a.json", "{", "valid YAML or JSON"),
        ("a.txt", "a: 1\n", "unknown file"),
    ],
)
def test_unreadable_configs_are_refused_in_one_line(name: str, text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as refusal:
        load_config(BASE, [path])
    assert "\n" not in str(refusal.value)


def test_a_missing_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No config file"):
        load_config(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("component", "fault"),
    [
        ({"_target_": "BasicUNet", "spatial_dims": 2}, None),
        ({"_target_": "BasicUNet", "spacial_dims": 2}, "takes no `spacial_dims`"),
        ({"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1}, "needs `kernel_size`"),
        ({"_target_": "torch.nn.Conv2d", "_mode_": "callable", "in_channels": 1}, None),
        ({"_target_": "torch.nn.Conv2D"}, "there is no"),
        ({"_target_": "nomodule.thing"}, "there is no"),
        ({"_target_": "BasicUnett"}, "there is no"),
        ({"_target_": "LoadImaged", "keys": "image", "any_reader_option": 1}, None),
        ({"_target_": "StatsHandler", "_disabled_": "@flag", "_desc_": "why"}, None),
        ({"_target_": "scripts.bundle_config.load_config", "base": "a.yaml"}, None),
        ({"_target_": "$@anything"}, None),
    ],
    ids=str,
)
def test_target_faults(component: dict[str, Any], fault: str | None) -> None:
    faults = target_faults({"outer": [{"inner": component}]})
    if fault is None:
        assert faults == []
    else:
        assert len(faults) == 1
        assert faults[0].startswith("outer::0::inner: ")
        assert fault in faults[0]
