# SPDX-License-Identifier: Apache-2.0
"""The configs of a package whose weights are a run's own: the bundle's, with the run's settings in their places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml

from scripts.errors import UsageError
from scripts.handlers.run_config import look_up
from scripts.packaging.configs import replace_block
from scripts.packaging.training_run import TrainingRun, check_packable, handed_over

ALONE = ("train", "evaluate", "inference", "diagnose")

# Of the machine, or of how any training of this code begins and ends, and so not taken from the run.
_PLACES = (
    *("imports", "bundle_root", "dataset_dir", "manifest", "output_dir", "cache_dir", "run_dir", "initial_weights"),
    *("resume", "wandb", "device", "num_workers", "simulate_on"),
)
_ENDS = ("initialize", "training", "run", "finalize")
_NOT_OF_THE_RUN = (*_PLACES, *_ENDS)
_GATE = ("scripts.transforms.gate.CheckSourced", "scripts.transforms.quality.MeasureQualityd")
_OF_A_PAIR = "scripts.transforms.align.AlignPaird"
_HEAD = """# Train with the settings of the run that this bundle's weights come from. Runs alone, from this folder:
#
#   python -m monai.bundle run training --config_file configs/train.yaml --dataset_dir DIR
#   ... --initial_weights models/model.pt      go on from this bundle's weights
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
    shipped_train = yaml.safe_load(shipped["train"])
    for name in ALONE[1:]:
        text = shipped[name]
        for key, value in _settings_of(name, run, train, shipped_train, yaml.safe_load(text)).items():
            text = replace_block(text, key, value)
        found[name] = text
    return found


def _train(run: TrainingRun, shipped: Mapping[str, Any]) -> dict[str, Any]:
    train = {key: value for key, value in run.config.items() if key not in _NOT_OF_THE_RUN}
    train = {key: shipped[key] for key in _PLACES if key in shipped} | train | {key: shipped[key] for key in _ENDS}
    if handed_over(run.config):
        train |= {part: _without_pairs(train[part], shipped[part]) for part in ("train", "validate")}
        train["displayable_configs"] = shipped["displayable_configs"]
    simulated = train.get("simulated")
    if isinstance(simulated, Mapping) and isinstance(simulated.get("presets"), Mapping):
        named = {k: v for k, v in simulated["presets"].items() if PurePath(str(v)).suffix == ""}  # not a user's files
        train["simulated"] = {**simulated, "presets": {**shipped["simulated"]["presets"], **named}}
    return train


def _without_pairs(part: Mapping[str, Any], shipped: Mapping[str, Any]) -> dict[str, Any]:
    """Training or validation of a run that was handed its files, without their list and the file that it began with."""
    handlers = [handler for handler in part["handlers"] if handler.get("_target_") != "CheckpointLoader"]
    return {**part, "handlers": handlers, "dataset": {**part["dataset"], "data": shipped["dataset"]["data"]}}


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
        found["preprocessing"] = _preprocessing(_chain(run.config), shipped["preprocessing"]["transforms"])
    if name == "diagnose":
        found |= _diagnosed(run, train, shipped)
    if name == "inference":
        found["displayable_configs"] = {**shipped["displayable_configs"], "target_contrast": run.contrasts[1]}
    return {k: value for k, value in found.items() if k in shipped and _spelt_alike(shipped[k]) != _spelt_alike(value)}


def _diagnosed(run: TrainingRun, train: Mapping[str, Any], shipped: Mapping[str, Any]) -> dict[str, Any]:
    """The data and the network as a diagnosis builds them, with every setting that its evidence asks for."""
    data = {part: train["train"][part] for part in shipped["train"] if part in train["train"]}
    data["dataloader"] = {**data["dataloader"], "num_workers": 0}
    usual = shipped["network_def"]
    if run.network.get("_target_") == usual["_target_"]:
        network = {**usual, **run.network, "allow_asymmetric": usual["allow_asymmetric"]}
        return {"train": data, "network_def": network}
    asked = {key: value for key, value in shipped["static"].items() if not str(value).startswith("@network_def#")}
    return {"train": data, "static": asked}


def _chain(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a scan goes through before the network validates on it."""
    validate = config.get("validate")
    chain = look_up(config, validate.get("preprocessing")) if isinstance(validate, Mapping) else None
    if not isinstance(chain, Mapping) or not isinstance(chain.get("transforms"), list) or not chain["transforms"]:
        raise UsageError("config.yaml of the run has no validate::preprocessing with transforms; need them; add them.")
    return chain


def _spelt_alike(value: Any) -> Any:
    """A config with one spelling of the separator in ids, for comparison."""
    if isinstance(value, Mapping):
        return {key: _spelt_alike(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spelt_alike(item) for item in value]
    return value.replace("#", "::") if isinstance(value, str) else value


def _preprocessing(chain: Mapping[str, Any], shipped: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The run's chain for the images of another config: what is done to each of them, and that config's own gate.

    What brings a pair onto one grid stays out where that config has no pairs.
    """
    paired = any(entry["_target_"] == _OF_A_PAIR for entry in shipped)
    each = [entry for entry in chain["transforms"] if "keys" in entry]
    each = [entry for entry in each if paired or entry.get("_target_") != _OF_A_PAIR]
    settings = [{key: value for key, value in entry.items() if key != "keys"} for entry in each]
    check_packable({**chain, "transforms": settings}, "preprocessing")
    transforms: list[Mapping[str, Any]] = [{**entry, "keys": shipped[0]["keys"]} for entry in each]
    for place, entry in enumerate(shipped):
        if entry["_target_"] in _GATE:
            # What comes last sees what the network sees, however long the run's own chain is.
            transforms.insert(len(transforms) if place == len(shipped) - 1 else place, entry)
    return {**chain, "transforms": transforms}
