# SPDX-License-Identifier: Apache-2.0
"""The YAML files as text: each can be built as written, and what they share is equal."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from scripts.bundle_config import load_config, target_faults

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"
# Configs that run alone, with the id that runs them. Each other YAML is an overlay on train.yaml.
ALONE = {
    "train": "training",
    "evaluate": "evaluating",
    "inference": "inference",
    "diagnose": "diagnosing",
    "uncertainty": "training",
}
OVERLAYS = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem not in ALONE)
# What a network sees must not differ between learning, measuring and using it.
SHARED_TRANSFORMS = ("NormalizeMagnituded", "DisplayOrientationd")


def load(name: str) -> dict[str, Any]:
    if name in ALONE:
        return load_config(CONFIGS / f"{name}.yaml")
    return load_config(CONFIGS / "train.yaml", [CONFIGS / f"{name}.yaml"])


def parser_of(config: dict[str, Any]) -> ConfigParser:
    parser = ConfigParser(copy.deepcopy(config))
    parser.read_meta(str(CONFIGS / "metadata.json"))
    return parser


@pytest.mark.parametrize("name", [*ALONE, *OVERLAYS])
def test_each_target_resolves_and_takes_its_arguments(name: str) -> None:
    assert target_faults(load(name)) == []


@pytest.mark.parametrize(
    "name", ["smoke", "no_skip_everywhere", "zero_skip", "source_skip", "gated_skip", "large_latent"]
)
def test_needed_overlays_exist(name: str) -> None:
    assert name in OVERLAYS


@pytest.mark.parametrize(("name", "run_id"), ALONE.items())
def test_each_config_that_runs_alone_answers_run_and_its_own_id(name: str, run_id: str) -> None:
    parser = parser_of(load(name))
    parser.resolve_macro_and_relative_ids()
    assert parser["run"], "an empty run does nothing in silence"
    assert parser["run"] == parser[run_id]


@pytest.mark.parametrize("name", ALONE)
def test_bundle_root_is_put_on_the_path_before_anything_else(name: str) -> None:
    config = load(name)
    assert config["bundle_root"] == "bundle"
    assert config["initialize"][0] == "$sys.path.append(@bundle_root)"
    assert not any("scripts" in line for line in config.get("imports", []))


def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return parser_of(load(name)).get_parsed_content("network_def").eval()


@pytest.mark.parametrize("name", ["evaluate", "inference", "diagnose", "uncertainty"])
@pytest.mark.parametrize("target", [0, 1])
def test_network_is_the_trained_one(name: str, target: int) -> None:
    trained, used = network("train"), network(name)
    with torch.no_grad():  # weights that no initialisation gives, so that each layer matters
        for parameter in trained.parameters():
            parameter.normal_(std=0.1)
    used.load_state_dict(trained.state_dict(), strict=True)
    image = torch.rand(1, 1, 48, 40)
    with torch.no_grad():
        torch.testing.assert_close(used(image, target), trained(image, target), rtol=0, atol=0)


@pytest.mark.parametrize("strategy", ["no_skip", "zero_skip", "source_skip", "gated_skip"])
def test_an_overlay_is_named_for_the_strategy_it_sets(strategy: str) -> None:
    name = "no_skip_everywhere" if strategy == "no_skip" else strategy
    assert load(name)["network_def"]["cross_domain_strategy"] == strategy
    if strategy != "no_skip":
        assert network(name).strategy == strategy


def test_the_predecessors_remedy_is_kept_to_the_letter() -> None:
    config = load("no_skip_everywhere")
    definition = config["network_def"]
    assert definition["encoder"]["latent_channels"] == 512
    assert definition["decoder_a"]["features"] == definition["decoder_b"]["features"] == [512, 256, 128]
    assert config["loss_weights"] == {"content": 1.0, "recon": 0.05, "cross": 1.0}
    assert load("large_latent") == load("no_skip_everywhere") | {
        "network_def": definition | {"encoder": definition["encoder"] | {"latent_channels": 1024}}
    }


def shared_transforms(name: str, key: str) -> list[dict[str, Any]]:
    """Return the entries of one transform chain that decide what the network sees, in order, but for their keys."""
    parser = parser_of(load(name))
    parser.resolve_macro_and_relative_ids()
    chain = parser[key]
    chain = chain["transforms"] if isinstance(chain, dict) else chain
    while isinstance(chain, str) and chain.startswith("@"):
        chain = parser[chain[1:]]
    entries = []
    for index, entry in enumerate(chain):
        if str(entry.get("_target_", "")).rpartition(".")[2] in SHARED_TRANSFORMS:
            prefix = f"{key}::transforms::{index}"
            entries.append(
                {
                    argument: parser.get_parsed_content(f"{prefix}::{argument}") if argument != "_target_" else value
                    for argument, value in entry.items()
                    if argument not in ("keys", "allow_missing_keys")
                }
            )
    return entries


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("train", "train::preprocessing"),
        ("train", "validate::preprocessing"),
        ("evaluate", "preprocessing"),
        ("diagnose", "train::preprocessing"),
        ("uncertainty", "preprocessing"),
    ],
)
def test_intensity_and_orientation_are_those_of_inference(name: str, key: str) -> None:
    at_inference = shared_transforms("inference", "preprocessing")
    assert [entry["_target_"].rpartition(".")[2] for entry in at_inference] != []
    assert shared_transforms(name, key) == at_inference


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("train", "train::preprocessing"),
        ("train", "validate::preprocessing"),
        ("evaluate", "preprocessing"),
        ("diagnose", "train::preprocessing"),
    ],
)
def test_pairs_are_aligned_alike_and_as_displayed(name: str, key: str) -> None:
    parser = parser_of(load(name))
    parser.resolve_macro_and_relative_ids()
    chain = [entry for entry in parser[key]["transforms"] if isinstance(entry, dict)]
    targets = [entry["_target_"].rpartition(".")[2] for entry in chain]
    place = targets.index("AlignPaird")
    assert targets[place - 1] == "DisplayOrientationd", "rows name slices as they are displayed"
    assert chain[place] == {"_target_": "scripts.transforms.align.AlignPaird", "keys": ["image", "label"]}


def test_evaluation_scores_knees_that_training_never_saw() -> None:
    trained, scored = (parser_of(load(name)) for name in ("train", "evaluate"))
    assert scored.get_parsed_content("section") == "test"
    # one cohort, described once: another seed or shape would be other knees in another cache
    assert scored.get_parsed_content("simulated") == trained.get_parsed_content("simulated")


def test_a_diagnosis_looks_at_what_training_does() -> None:
    trained, diagnosed = load("train"), load("diagnose")
    settings = ("loss_weights", "squared_below", "noisy_targets", "thresholds", "contrasts")
    for name in ("loss", "optimizer", "augmentation", *settings):
        assert diagnosed[name] == trained[name], name
    for name in ("preprocessing", "dataset"):
        assert diagnosed["train"][name] == trained["train"][name], name
    knees, all_knees = diagnosed["simulated"].pop("studies"), trained["simulated"].pop("studies")
    assert diagnosed["simulated"] == trained["simulated"]
    assert knees["training"] <= all_knees["training"]
