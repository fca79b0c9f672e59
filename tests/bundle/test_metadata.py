# SPDX-License-Identifier: Apache-2.0
"""metadata.json: valid by the specification, and saying the same as every other place that names a version."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import tomllib
import torch
import yaml
from monai.bundle import verify_metadata

SCHEMA = Path(__file__).with_name("meta_schema.json")
# MONAI looks for the hash of a download; the schema is a file of this repository.
pytestmark = pytest.mark.filterwarnings("ignore:No hash value provided:UserWarning")


@pytest.fixture
def metadata(configs: Path) -> dict[str, Any]:
    return json.loads((configs / "metadata.json").read_text())


@pytest.fixture
def pins(repository_root: Path) -> dict[str, str]:
    lines = (repository_root / ".ci/constraints.txt").read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the schema must come from the repository")

    monkeypatch.setattr("monai.apps.utils.urlretrieve", refuse)


def verify(metadata: dict[str, Any], folder: Path) -> None:
    path = folder / "metadata.json"
    path.write_text(json.dumps(metadata))
    verify_metadata(meta_file=str(path), filepath=str(SCHEMA))


def test_metadata_is_valid(configs: Path) -> None:
    verify_metadata(meta_file=str(configs / "metadata.json"), filepath=str(SCHEMA))


@pytest.mark.parametrize(
    "key",
    [
        "version",
        "changelog",
        "monai_version",
        "required_packages_version",
        "task",
        "network_data_format",
        "intended_use",
        "weights_sha256",
    ],
)
def test_a_missing_key_is_refused(metadata: dict[str, Any], key: str, tmp_path: Path) -> None:
    del metadata[key]
    with pytest.raises(ValueError, match=f"'{key}' is a required property"):
        verify(metadata, tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_channels", 0),
        ("num_channels", "1"),
        ("dtype", "float"),
        ("spatial_shape", ["n?"]),
        ("value_range", [0]),
        ("channel_def", {"first": "image"}),
        ("is_patch_data", "no"),
        ("format", "greyscale"),
    ],
)
@pytest.mark.parametrize(("side", "name"), [("inputs", "image"), ("outputs", "pred")])
def test_a_wrong_tensor_description_is_refused(
    metadata: dict[str, Any], side: str, name: str, field: str, value: object, tmp_path: Path
) -> None:
    metadata["network_data_format"][side][name][field] = value
    with pytest.raises(ValueError, match="Failed validating"):
        verify(metadata, tmp_path)


def test_changelog_covers_the_version(metadata: dict[str, Any]) -> None:
    assert metadata["version"] in metadata["changelog"]


def test_one_version_everywhere(metadata: dict[str, Any], repository_root: Path) -> None:
    project = tomllib.loads((repository_root / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((repository_root / "CITATION.cff").read_text())
    released = re.findall(r"^## \[(\d[^]]*)\] - (\S+)$", (repository_root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert metadata["version"] == project["version"] == citation["version"]
    assert released[0] == (metadata["version"], citation["date-released"])


def test_named_package_versions_are_the_pinned_ones(metadata: dict[str, Any], pins: dict[str, str]) -> None:
    named = {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
    }
    named |= metadata["required_packages_version"]
    assert {name: pins.get(name.lower()) for name in named} == named


def test_each_dependency_is_pinned(pins: dict[str, str], repository_root: Path) -> None:
    project = tomllib.loads((repository_root / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["test"],
        *project["optional-dependencies"]["dev"],
    ]
    names = {re.match(r"[\w.-]+", line)[0].lower() for line in wanted} - {project["name"]}
    assert names - {name.replace("_", "-") for name in pins} == set()


def test_weights_are_the_ones_named(metadata: dict[str, Any], repository_root: Path) -> None:
    weights = repository_root / "bundle/models/model.pt"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == metadata["weights_sha256"]


def test_weights_load_as_plain_tensors_within_the_size_limit(repository_root: Path) -> None:
    state = torch.load(repository_root / "bundle/models/model.pt", weights_only=True, map_location="cpu")
    assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
    assert sum(tensor.numel() for tensor in state.values()) <= 4_000_000
