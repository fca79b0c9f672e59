# SPDX-License-Identifier: Apache-2.0
"""The page about MONAI Label, which is in the package too: its pins are those that were tested."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from scripts.packaging.build import shipped_package
from scripts.packaging.layout import find_layout

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/MONAI_LABEL.md"


def test_the_page_and_the_script_for_slicer_are_in_the_package() -> None:
    package = shipped_package(find_layout())
    page = package.files[PAGE].decode()
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert "slicer/synth_volume.py" in links
    assert [link for link in links if f"docs/{link}" not in package.files] == []
    assert f"knee_pd_pdfs_synthesis_v{package.version}.zip" in page


def test_the_page_names_the_versions_that_are_installed_and_tested() -> None:
    lines = (ROOT / ".ci" / "label-requirements.txt").read_text().splitlines()
    pins = {line.split()[0] for line in lines if line and not line.startswith("#")}
    named = set(re.findall(r"[\w-]+==[\w.]+", (ROOT / "bundle" / PAGE).read_text()))
    assert len(named) >= 10 and named <= pins


def test_the_requests_of_the_page_name_what_the_config_asks_for() -> None:
    config = yaml.safe_load((ROOT / "bundle" / "configs" / "train.yaml").read_text())
    text = (ROOT / "bundle" / PAGE).read_text()
    assert list(config["displayable_configs"]) == ["target_contrast"]
    assert f"samples_per_epoch: {config['samples_per_epoch']}" in text
