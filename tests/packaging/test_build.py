# SPDX-License-Identifier: Apache-2.0
"""The shipped package as a whole, and how it is written out."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import tomllib
import yaml

from scripts.errors import OutputError, WeightsError
from scripts.packaging.archive import Package
from scripts.packaging.build import shipped_package, write_package
from scripts.packaging.layout import Layout

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 25 * 10**6  # bytes: what the model zoo takes as a single file
MACHINE_PATH = re.compile(r"(?<![\w.\-/>}])/(?:" + "|".join(["work", "tmp", "root", "home", "Users"]) + r")/\w")


def test_it_is_the_same_twice(layout: Layout, shipped: Package) -> None:
    again = shipped_package(layout)
    assert again.zip_bytes() == shipped.zip_bytes()


def test_it_holds_what_a_bundle_has(shipped: Package) -> None:
    needed = {"LICENSE", "configs/metadata.json", "configs/logging.conf", "docs/README.md", "models/model.pt"}
    needed |= {f"configs/{name}.yaml" for name in ("train", "evaluate", "inference", "diagnose")}
    assert needed <= set(shipped.files)
    assert {path.partition("/")[0] for path in shipped.files} == {"LICENSE", "configs", "docs", "models", "scripts"}
    assert shipped.files["LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert [path for path in shipped.files if "__pycache__" in path or "/test_" in path] == []


def test_its_weights_are_the_ones_that_its_metadata_name(shipped: Package) -> None:
    metadata = json.loads(shipped.files["configs/metadata.json"])
    assert hashlib.sha256(shipped.files["models/model.pt"]).hexdigest() == metadata["weights_sha256"]
    assert json.loads(shipped.files["models/selftest.json"])["weights_sha256"] == metadata["weights_sha256"]


def test_its_scale_head_and_calibration_belong_to_its_weights(shipped: Package) -> None:
    metadata = json.loads(shipped.files["configs/metadata.json"])
    calibration = json.loads(shipped.files["models/uncertainty.json"])
    assert metadata["uncertainty"]["weights_sha256"] == metadata["weights_sha256"] == calibration["weights_sha256"]
    for name, key in (("uncertainty.pt", "head_sha256"), ("uncertainty.json", "calibration_sha256")):
        assert hashlib.sha256(shipped.files[f"models/{name}"]).hexdigest() == metadata["uncertainty"][key]


def test_a_bundle_without_a_head_is_packed_without_one_and_an_altered_head_is_not(
    layout: Layout, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(layout.bundle, tmp_path / "bundle"))
    head = bundle / "models" / "uncertainty.pt"
    head.write_bytes(head.read_bytes() + b" ")
    with pytest.raises(WeightsError, match=r"uncertainty\.pt"):
        shipped_package(Layout(bundle, layout.root))
    head.unlink()
    with pytest.raises(WeightsError, match=r"uncertainty\.pt"):  # the metadata still name it
        shipped_package(Layout(bundle, layout.root))
    (bundle / "models" / "uncertainty.json").unlink()
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    del metadata["uncertainty"]
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
    assert not [name for name in shipped_package(Layout(bundle, layout.root)).files if "models/uncertainty" in name]


def test_no_file_is_too_large_or_names_one_machine(shipped: Package) -> None:
    assert [path for path, content in shipped.files.items() if len(content) > LARGEST] == []
    text = {path: content for path, content in shipped.files.items() if not path.endswith((".pt", ".png"))}
    assert [path for path, content in text.items() if MACHINE_PATH.search(content.decode())] == []


def test_one_version_in_name_metadata_changelog_and_citation(layout: Layout, shipped: Package, tmp_path: Path) -> None:
    metadata = json.loads(shipped.files["configs/metadata.json"])
    written = write_package(shipped, tmp_path)
    assert written.archive.name == f"knee_pd_pdfs_synthesis_v{metadata['version']}.zip"
    assert metadata["version"] in metadata["changelog"]
    assert f"## [{metadata['version']}]" in (ROOT / "CHANGELOG.md").read_text()
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == metadata["version"]


def test_its_metadata_name_every_package_it_needs(shipped: Package) -> None:
    metadata = json.loads(shipped.files["configs/metadata.json"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.match(r"[\w.-]+", line)[0].lower() for line in project["dependencies"]} - {"torch", "monai", "numpy"}
    assert {name.lower() for name in metadata["required_packages_version"]} == needed
    page = shipped.files["docs/README.md"].decode()
    assert f"pip install torch=={metadata['pytorch_version']} " in page
    assert all(f"{name}=={version}" in page for name, version in metadata["required_packages_version"].items())


def test_zip_and_folder_are_written_and_hold_the_same(shipped: Package, tmp_path: Path) -> None:
    written = write_package(shipped, tmp_path / "dist")
    assert written.sha256 == hashlib.sha256(written.archive.read_bytes()).hexdigest()
    with zipfile.ZipFile(written.archive) as archive:
        names = {name.removeprefix("knee_pd_pdfs_synthesis/") for name in archive.namelist()}
    folder = {p.relative_to(written.folder).as_posix() for p in written.folder.rglob("*") if p.is_file()}
    assert names == folder == set(shipped.files)
    assert sorted(p.name for p in (tmp_path / "dist").iterdir()) == sorted([written.folder.name, written.archive.name])


def test_a_former_package_is_replaced_whole(shipped: Package, tmp_path: Path) -> None:
    written = write_package(shipped, tmp_path)
    (written.folder / "scripts" / "old.py").write_text("")
    write_package(shipped, tmp_path)
    assert not (written.folder / "scripts" / "old.py").exists()


def test_what_is_no_package_is_left_alone(shipped: Package, tmp_path: Path) -> None:
    (tmp_path / shipped.name).mkdir()
    (tmp_path / shipped.name / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="no package"):
        write_package(shipped, tmp_path)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["mine.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_package(shipped, tmp_path / "file")


@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_weights_that_the_metadata_do_not_name_are_not_packed(layout: Layout, tmp_path: Path, damage: str) -> None:
    bundle = Path(shutil.copytree(layout.bundle, tmp_path / "bundle"))
    weights = bundle / "models" / "model.pt"
    weights.write_bytes(weights.read_bytes() + b" ") if damage == "altered" else weights.unlink()
    with pytest.raises(WeightsError, match=r"model\.pt"):
        shipped_package(Layout(bundle, layout.root))


def test_a_package_packs_itself(unpacked: Path, shipped: Package) -> None:
    assert shipped_package(Layout(unpacked, unpacked)).zip_bytes() == shipped.zip_bytes()
