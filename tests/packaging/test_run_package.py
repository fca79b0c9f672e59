# SPDX-License-Identifier: Apache-2.0
"""A package of a run's own weights: its network, its data's ranges, its scores, and nothing of the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.bundle import ConfigParser

from scripts.errors import UsageError, WeightsError
from scripts.packaging.archive import Package
from scripts.packaging.build import run_package
from scripts.packaging.layout import Layout

MakeRun = Callable[..., Path]
ALONE = ("train", "evaluate", "inference", "diagnose")


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> Path:
    presets = {"training": "/data/own.yaml", "validation": "clinical", "test": "clinical"}
    places = {"dataset_dir": "/data/st-elsewhere/knees", "output_dir": "/data/st-elsewhere/runs"}
    return make_run(**{**places, "noisy_targets": True, "learning_rate": 0.002, "simulated::presets": presets})


@pytest.fixture(scope="module")
def package(layout: Layout, run: Path) -> Package:
    return run_package(layout, run / "best.pt", "our_knees", "1.2.3")


def config(package: Package, name: str) -> dict[str, Any]:
    return yaml.safe_load(package.files[f"configs/{name}.yaml"])


def network(package: Package, name: str) -> torch.nn.Module:
    parser = ConfigParser(config(package, name))
    return parser.get_parsed_content("network_def").eval()


def weights(package: Package, folder: Path) -> dict[str, torch.Tensor]:
    (folder / "model.pt").write_bytes(package.files["models/model.pt"])
    return torch.load(folder / "model.pt", weights_only=True)


def test_the_same_run_gives_the_same_bytes(layout: Layout, run: Path, package: Package) -> None:
    again = run_package(layout, run / "best.pt", "our_knees", "1.2.3")
    assert again.zip_bytes() == package.zip_bytes()


def test_it_can_be_packed_where_only_the_package_is(unpacked: Path, run: Path, package: Package) -> None:
    again = run_package(Layout(unpacked, unpacked), run / "best.pt", "our_knees", "1.2.3")
    assert again.zip_bytes() == package.zip_bytes()


@pytest.mark.parametrize("name", ALONE)
def test_each_config_builds_the_runs_network_and_takes_its_weights(package: Package, name: str, tmp_path: Path) -> None:
    built = network(package, name)
    assert built.encoder.stem[1].out_channels == 8, "the width of the run, not of the shipped bundle"
    built.load_state_dict(weights(package, tmp_path), strict=True)


def test_the_averaged_weights_are_packed(package: Package, run: Path, tmp_path: Path) -> None:
    expected = torch.load(run / "model.pt", weights_only=True)
    packed = weights(package, tmp_path)
    assert packed.keys() == expected.keys()
    assert all(torch.equal(packed[key], expected[key]) for key in packed)


def test_evaluation_and_diagnosis_follow_the_runs_settings(package: Package) -> None:
    train = config(package, "train")
    assert train["learning_rate"] == config(package, "diagnose")["learning_rate"] == 0.002
    assert config(package, "diagnose")["noisy_targets"] is True
    assert config(package, "evaluate")["simulated"] == train["simulated"]
    assert train["simulated"]["shape"] == [4, 64, 64]


@pytest.mark.parametrize("name", ALONE)
def test_every_reference_of_a_config_is_in_it(package: Package, name: str) -> None:
    parser = ConfigParser(config(package, name))
    parser.resolve_macro_and_relative_ids()
    parser.parse(True)
    for item in list(parser.ref_resolver.items.values()):
        for reference in parser.ref_resolver.find_refs_in_config(item.get_config(), item.get_id()):
            assert reference in parser.ref_resolver.items, f"{item.get_id()} refers to {reference}"


def test_nothing_names_the_machine_it_was_trained_on(package: Package) -> None:
    named = [path for path, content in package.files.items() if b"st-elsewhere" in content or b"own.yaml" in content]
    assert named == []
    assert config(package, "train")["dataset_dir"] == ""
    assert config(package, "train")["bundle_root"] == "."


def test_metadata_say_what_the_run_recorded(package: Package) -> None:
    metadata = json.loads(package.files["configs/metadata.json"])
    assert (package.name, package.version) == (metadata["name"], metadata["version"]) == ("our_knees", "1.2.3")
    assert list(metadata["changelog"]) == ["1.2.3"]
    assert metadata["data_type"] == "acquired"
    training = metadata["training"]
    assert (training["epoch"], training["seconds"], training["seed"], training["commit"]) == (1, 5400.0, 7, "abc123")
    assert training["data"] == {"pairs": 12, "sha256": "f00d"}
    assert training["contrasts"] == ["PD", "PDFS"]
    assert training["validation"]["val_psnr"] == 21.5
    assert training["ranges"]["augmentation"]["size"] == [48, 48]
    assert "simulated" not in training["ranges"], "it was not trained on simulated knees"


def test_simulated_training_says_so(layout: Layout, make_run: MakeRun) -> None:
    metadata = json.loads(run_package(layout, make_run() / "model.pt").files["configs/metadata.json"])
    assert metadata["data_type"] == "simulated"
    assert metadata["training"]["ranges"]["simulated"]["studies"] == {"training": 2, "validation": 1, "test": 1}
    assert metadata["training"]["epoch"] == 1, "model.pt is the best epoch by validation"
    assert metadata["version"] == "0.1.0"
    assert metadata["name"] == "knee_pd_pdfs_synthesis_20260101_120000"


def test_the_readme_is_filled_from_the_run(package: Package) -> None:
    page = package.files["docs/README.md"].decode()
    for fact in (
        "our_knees",
        "1.2.3",
        "22.25",
        "90.0 minutes",
        "by a method that is told here",
        "Some CPU",
        "12 pairs",
    ):
        assert fact in page, fact
    shipped = ("18.75", "interim", "80 simulated knees", "f32b2e29")
    assert [fact for fact in shipped if fact in page] == [], "facts of the shipped weights"
    assert package.files["docs/panel.png"] == b"\x89PNG panel of epoch 1"
    assert "![curves of the run](curves.png)" in page
    assert "Marrow oedema that is not visible on PD cannot appear" in page


def test_a_run_on_pairs_that_a_server_handed_over_is_the_users_own_and_names_none_of_them(
    layout: Layout, make_run: MakeRun
) -> None:
    pairs = [
        {"image": f"/data/st-elsewhere/{name}.nii.gz", "label": f"/data/st-elsewhere/labels/{name}"} for name in "ab"
    ]
    loader = {
        "_target_": "CheckpointLoader",
        "load_path": "/data/st-elsewhere/model.pt",
        "load_dict": {"model": "$@network"},
    }
    handed = {"train::dataset::data": pairs, "validate::dataset::data": pairs[:1], "+train::handlers": [loader]}
    package = run_package(layout, make_run(**handed, displayable_configs={"target_contrast": "PD"}) / "best.pt", "own")
    assert [path for path, content in package.files.items() if b"st-elsewhere" in content] == []
    metadata = json.loads(package.files["configs/metadata.json"])
    assert metadata["data_type"] == "acquired" and "simulated" not in metadata["training"]["ranges"]
    train, shipped = config(package, "train"), yaml.safe_load((layout.configs / "train.yaml").read_text())
    for part in ("train", "validate"):
        assert train[part]["dataset"]["data"] == shipped[part]["dataset"]["data"]
    assert train["train"]["handlers"] == shipped["train"]["handlers"]
    assert train["displayable_configs"] == shipped["displayable_configs"], "pairs of a folder say it by their names"


def test_sources_of_its_synthesis_go_through_the_gate(package: Package) -> None:
    chains = {name: config(package, name)["preprocessing"]["transforms"] for name in ("inference", "evaluate")}
    names = {name: [entry["_target_"].rpartition(".")[2] for entry in chain] for name, chain in chains.items()}
    each = ["LoadKneeSeriesd", "DisplayOrientationd", "NormalizeMagnituded"]
    evaluated = [*each[:2], "AlignPaird", each[2]]
    gated = [*each[:2], "CheckSourced", each[2], "MeasureQualityd"]
    assert names == {"evaluate": evaluated, "inference": gated}


def test_overlays_of_the_shipped_network_stay_at_home(package: Package) -> None:
    found = {path for path in package.files if path.startswith("configs/") and path.endswith(".yaml")}
    assert found == {f"configs/{name}.yaml" for name in ALONE}


def test_a_run_of_another_network_is_refused(layout: Layout, make_run: MakeRun) -> None:
    run = make_run()
    text = (run / "config.yaml").read_text().replace("latent_channels: 16", "latent_channels: 24")
    (run / "config.yaml").write_text(text)
    with pytest.raises(WeightsError, match="network"):
        run_package(layout, run / "best.pt")


def test_a_checkpoint_without_its_run_is_refused(layout: Layout, make_run: MakeRun) -> None:
    run = make_run()
    with pytest.raises(WeightsError, match="no weights"):
        run_package(layout, run / "nowhere.pt")
    (run / "config.yaml").unlink()
    with pytest.raises(UsageError, match=r"config\.yaml"):
        run_package(layout, run / "best.pt")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_target_": "mine.networks.Net"}, "does not hold"),
        ({"skip_dropout": "@somewhere"}, "plain values"),
        ({"skip_dropout": "$0.1 * @seed"}, "plain values"),
    ],
)
def test_a_network_that_cannot_be_rebuilt_is_refused(
    layout: Layout, make_run: MakeRun, change: dict[str, Any], said: str
) -> None:
    run = make_run()
    content = yaml.safe_load((run / "config.yaml").read_text())
    content["network_def"] |= change
    (run / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError, match=said):
        run_package(layout, run / "best.pt")


@pytest.mark.parametrize(
    ("name", "version"), [("Our Knees", None), ("knee_pd_pdfs_synthesis", None), (None, "1.0"), (None, "v1.0.0")]
)
def test_a_bad_name_or_version_is_refused(layout: Layout, run: Path, name: str | None, version: str | None) -> None:
    with pytest.raises(UsageError, match="need"):
        run_package(layout, run / "best.pt", name, version)


def test_a_run_with_no_records_is_packed_and_says_so(layout: Layout, make_run: MakeRun) -> None:
    run = make_run()
    for name in ("run.json", "curves.csv", "METHODS.md", "curves.png"):
        (run / name).unlink()
    for panel in (run / "panels").iterdir():
        panel.unlink()
    package = run_package(layout, run / "best.pt")
    page = package.files["docs/README.md"].decode()
    assert "recorded no validation" in page and "not recorded" in page
    assert {path for path in package.files if path.startswith("docs/")} == {"docs/README.md"}
    assert "models/selftest.json" not in package.files  # which is of the shipped weights
