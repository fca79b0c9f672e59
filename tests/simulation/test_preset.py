# SPDX-License-Identifier: Apache-2.0
"""Presets hold what is drawn and nothing else, one builds on another, and every line is explained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scripts.simulation.pathology.catalogue import KINDS
from scripts.simulation.preset import FOLDER, load_preset, preset_hash, preset_names
from scripts.simulation.ranges import Ranges
from scripts.simulation.study import draw_study
from scripts.simulation.training import draw_scans


def leaves(content: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Entries by their path; choices and forms of ranges are no sections."""
    found: dict[str, Any] = {}
    for key, entry in content.items():
        sections = isinstance(entry, Mapping) and any(isinstance(one, Mapping | list) for one in entry.values())
        if isinstance(entry, Mapping) and sections and not set(entry) & {"log", "normal"}:
            found |= leaves(entry, f"{path}/{key}")
        else:
            found[f"{path}/{key}"] = entry
    return found


@pytest.mark.parametrize("name", ["clinical", "randomised"])
def test_every_entry_of_a_preset_is_drawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, entry = set(), Ranges._entry

    def seen(self: Ranges, key: str) -> Any:
        read.add(f"{self.path}/{key}")
        return entry(self, key)

    monkeypatch.setattr(Ranges, "_entry", seen)
    preset = load_preset(name)
    for seed in range(80):  # a tenth of the training scenes are random shapes, and not each has every solid
        draw_study(seed, preset, shape=(2, 32, 32), pathology=dict.fromkeys(KINDS, 1.0))
        if "training" in preset:
            draw_scans(preset, seed)
    # Single lesions and solids, and what these are made of, draw from streams of their own.
    own = {re.sub(r"/\d+/(stuff/)?", "/", path) for path in read}
    tissue = {f"/tissues/{path.rpartition('/')[2]}" for path in read if path.startswith("/tissues/")}
    never = {
        path.removesuffix("_chance") for path, value in leaves(preset).items() if path.endswith("_chance") and not value
    }
    assert set(leaves(preset)) - own - tissue - never - {"/tissues/only", "/lesions/free"} == set()


@pytest.mark.parametrize("name", ["clinical", "randomised"])
def test_every_kind_of_entry_is_explained(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    said = "\n".join(
        line if line.partition("#")[0].strip() else line.strip("# ") for line in text.splitlines() if "#" in line
    )
    kinds = {path.rpartition("/")[2] for path in leaves(load_preset(name))}
    assert {kind for kind in kinds if not re.search(rf"\b{kind}:", said)} == set()


def test_what_is_built_on_another_differs_only_where_it_says_so() -> None:
    clinical = load_preset("clinical")
    other = load_preset({"base": "clinical", "knee": {"flexion": 0.1}, "geometry": {"stack": {"plane": {"axial": 0}}}})
    assert other["knee"]["flexion"] == 0.1
    assert other["geometry"]["stack"]["plane"] == {"sagittal": 0.5, "coronal": 0.3, "axial": 0}
    assert other["scanner"] == clinical["scanner"]
    assert clinical["knee"]["flexion"] != 0.1  # the base is not changed with it


def test_a_range_is_replaced_whole() -> None:
    other = load_preset({"base": "clinical", "knee": {"size": {"log": [0.9, 1.1]}}})
    assert other["knee"]["size"] == {"log": [0.9, 1.1]}


def test_the_hash_follows_the_content() -> None:
    hashes = {preset_hash(load_preset(name)) for name in preset_names()}
    assert len(hashes) == len(preset_names()) >= 3
    assert preset_hash(load_preset("clinical")) == preset_hash(load_preset({"base": "clinical"}))


def test_what_is_no_preset_is_told_apart(tmp_path: Path) -> None:
    broken, text = tmp_path / "broken.yaml", tmp_path / "text.yaml"
    broken.write_text("knee: [1, 2\n")
    text.write_text("just words\n")
    with pytest.raises(ValueError, match="is no YAML"):
        load_preset(broken)
    with pytest.raises(ValueError, match="is no mapping"):
        load_preset(text)
    with pytest.raises(ValueError, match="need a mapping with keys"):
        load_preset({"base": "clinical", "knee": 3})
