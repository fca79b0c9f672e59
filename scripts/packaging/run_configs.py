# SPDX-License-Identifier: Apache-2.0
"""The configs of a package whose weights are a run's own: the bundle's, with the run's settings in their places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml

from scripts.packaging.configs import replace_block
from scripts.packaging.training_run import TrainingRun, check_packable

ALONE = ("train", "evaluate", "inference", "diagnose")

# Where the run found and put things, and how a config begins and ends: of the machine, or of the bundle.
_NOT_OF_THE_RUN = (
    *("bundle_root", "dataset_dir", "manifest", "output_dir", "cache_dir", "run_dir", "initial_weights"),
    *("resume", "wandb", "device", "num_workers", "simulate_on"),
    *("imports", "initialize", "training", "run", "finalize"),
)
_HEAD = """# Train on, with the settings of the run that this bundle's weights come from. Runs alone, from this folder:
#
#   python -m monai.bundle run training --config_file configs/train.yaml --dataset_dir DIR --initial_weights models/model.pt
"""


def run_configs(run: TrainingRun, shipped: Mapping[str, str]) -> dict[str, str]:
    """Configs of a package of a run's weights.

    Args:
        run: the run.
        shipped: text of the bundle's own packed configs, by name without suffix.

    Returns:
        Text of those that run alone. Overlays are left out: they vary the bundle's network, not the run's.
    """
    train = _train(run, yaml.safe_load(shipped["train"]))
    found = {"train": _HEAD + yaml.safe_dump(train, sort_keys=False, allow_unicode=True, width=110)}
    for name in ALONE[1:]:
        text = shipped[name]
        for key, value in _settings_of(name, run, train, yaml.safe_load(shipped["train"]), yaml.safe_load(text)).items():
            text = replace_block(text, key, value)
        found[name] = text
    return found


def _train(run: TrainingRun, shipped: Mapping[str, Any]) -> dict[str, Any]:
    train = {key: value for key, value in run.config.items() if key not in _NOT_OF_THE_RUN}
    of_bundle = {key: shipped[key] for key in _NOT_OF_THE_RUN if key in shipped}
    train = {**{key: of_bundle.pop(key) for key in ("imports", "bundle_root")}, **train, **of_bundle}
    simulated = train.get("simulated")
    if isinstance(simulated, Mapping) and isinstance(simulated.get("presets"), Mapping):
        named = {k: v for k, v in simulated["presets"].items() if PurePath(str(v)).suffix == ""}  # not a user's files
        train["simulated"] = {**simulated, "presets": {**shipped["simulated"]["presets"], **named}}
    return train


def _settings_of(
    name: str,
    run: TrainingRun,
    train: Mapping[str, Any],
    shipped_train: Mapping[str, Any],
    shipped: Mapping[str, Any],
) -> dict[str, Any]:
    """Top-level entries of a config that differ from the bundle's own because of the run."""
    found: dict[str, Any] = {"network_def": dict(run.network), "contrasts": list(run.contrasts)}
    if "simulated" in train:
        found["simulated"] = train["simulated"]
    for key, value in shipped.items():  # what it shares with training follows the training
        if key not in _NOT_OF_THE_RUN and key in train and shipped_train.get(key) == value:
            found.setdefault(key, train[key])
    if "preprocessing" in shipped:
        chain = run.config["validate"]["preprocessing"]
        keys = shipped["preprocessing"]["transforms"][0]["keys"]
        found["preprocessing"] = _with_keys(chain, keys)
        check_packable({**found["preprocessing"], "transforms": _without_keys(found["preprocessing"])}, "preprocessing")
    if name == "diagnose":
        found["train"] = {part: train["train"][part] for part in shipped["train"] if part in train["train"]}
        found |= _diagnosed(run, shipped)
    if name == "inference":
        found["displayable_configs"] = {**shipped["displayable_configs"], "target_contrast": run.contrasts[1]}
    return {key: value for key, value in found.items() if key in shipped and shipped[key] != value}


def _diagnosed(run: TrainingRun, shipped: Mapping[str, Any]) -> dict[str, Any]:
    """The network as a diagnosis builds it, with every setting that its evidence asks for."""
    usual = shipped["network_def"]
    if run.network.get("_target_") == usual["_target_"]:
        return {"network_def": {**usual, **run.network, "allow_asymmetric": usual["allow_asymmetric"]}}
    asked = {key: value for key, value in shipped["static"].items() if not str(value).startswith("@network_def#")}
    return {"network_def": dict(run.network), "static": asked}


def _with_keys(chain: Mapping[str, Any], keys: Any) -> dict[str, Any]:
    return {**chain, "transforms": [{**transform, "keys": keys} for transform in chain["transforms"]]}


def _without_keys(chain: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in entry.items() if key != "keys"} for entry in chain["transforms"]]
