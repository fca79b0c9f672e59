# SPDX-License-Identifier: Apache-2.0
"""Configs as a package holds them: their own root, no path of a checkout, and twins in JSON that say the same."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.errors import UsageError
from scripts.packaging.archive import Package
from scripts.packaging.configs import CLAIM, RELEASE, TWINS, packed_config, packed_overlay, replace_block

ROOT = Path(__file__).resolve().parents[2]
ALONE = ("train", "evaluate", "inference", "diagnose", "uncertainty")
OWN = {"bundle_root", "imports", "initialize", "finalize"}


def config(package: Package, name: str) -> dict[str, Any]:
    return yaml.safe_load(package.files[f"configs/{name}"])


@pytest.mark.parametrize("name", ALONE)
def test_a_packed_config_differs_in_its_root_and_its_place_on_the_path_alone(shipped: Package, name: str) -> None:
    packed = config(shipped, f"{name}.yaml")
    source = yaml.safe_load((ROOT / "bundle" / "configs" / f"{name}.yaml").read_text())
    assert packed["bundle_root"] == "."
    assert packed["initialize"] == [*CLAIM, *source["initialize"][1:]]
    assert packed["finalize"] == list(RELEASE)
    assert {key: value for key, value in packed.items() if key not in OWN} == {
        key: value for key, value in source.items() if key not in OWN
    }


def test_no_config_names_a_folder_of_the_checkout(shipped: Package) -> None:
    texts = {path: content.decode() for path, content in shipped.files.items() if path.endswith(".yaml")}
    assert [path for path, text in texts.items() if path.startswith("configs/") and "bundle/" in text] == []


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_says_what_its_yaml_says(shipped: Package, name: str) -> None:
    twin, source = json.loads(shipped.files[f"configs/{name}.json"]), config(shipped, f"{name}.yaml")
    run_id = "training" if name == "train" else "inference"
    hook = {"_target_": "scripts.errors.say_refusals_last"}
    assert twin.pop(run_id) == [*CLAIM, hook, *source.pop(run_id)]
    assert hook in source["initialize"] and hook not in twin["initialize"]
    for key in ("bundle_root", "imports", "initialize"):
        twin.pop(key), source.pop(key)
    if name == "train":  # its host may have been started anywhere
        assert twin.pop("output_dir") == f"$@bundle_root + '/{source.pop('output_dir')}'"
        assert twin.pop("cache_dir") == f"$@bundle_root + '/{source.pop('cache_dir')}'"
    assert twin == source


def test_the_name_scripts_is_taken_from_others_only_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"ours": tmp_path / "ours", "other": tmp_path / "other"}
    modules: dict[str, Any] = {"os": os}
    for kind, folder in kinds.items():
        modules[f"scripts.{kind}"] = type("Module", (), {"__file__": str(folder / "scripts" / f"{kind}.py")})
    modules["scripts"] = type("Module", (), {"__file__": None})
    monkeypatch.setattr(sys, "modules", modules)
    monkeypatch.setattr(sys, "path", ["before"])
    scope = {"sys": sys, "os": os, "root": str(kinds["ours"])}

    def evaluate(expressions: tuple[str, ...]) -> None:
        for expression in expressions:
            eval(expression[1:].replace("@bundle_root", "root"), scope)

    evaluate(CLAIM)
    assert sys.path == [str(kinds["ours"]), "before"]
    assert set(modules) == {"os", "scripts.ours"}
    sys.path[1:1] = [str(kinds["ours"]), ""]  # as MONAI does when it runs a workflow
    evaluate(RELEASE)
    assert (sys.path, set(modules)) == (["", "before"], {"os"})

    modules["monailabel"] = None  # which put the folder there, and will look for it
    sys.path[:0] = [str(kinds["ours"])]
    evaluate(CLAIM)
    evaluate(RELEASE)
    assert str(kinds["ours"]) in sys.path


TEXT = """# head
imports:
  - $import sys
bundle_root: bundle # see bundle/docs/README.md
a: 1 # one
b:
  # inside
  c: 2

d: [3,
  4]
initialize:
  - $sys.path.append(@bundle_root)
"""


def test_comments_and_order_are_kept() -> None:
    packed = packed_config(TEXT, "a.yaml")
    kept = [line for line in TEXT.splitlines() if not re.match(r"bundle_root|  - \$sys", line)]
    assert [line for line in packed.splitlines() if line in kept] == kept


@pytest.mark.parametrize("line", ["bundle_root: bundle", "  - $sys.path.append(@bundle_root)", "  - $import sys"])
def test_a_config_without_its_lines_is_refused(line: str) -> None:
    without = "".join(text + "\n" for text in TEXT.splitlines() if not text.startswith(line))
    with pytest.raises(UsageError, match=r"a\.yaml"):
        packed_config(without, "a.yaml")


def test_an_overlay_that_begins_anew_takes_the_name_too() -> None:
    overlay = "initialize:\n  - $sys.path.append(@bundle_root)\n  - $f()\n"
    assert yaml.safe_load(packed_overlay(overlay))["initialize"] == [*CLAIM, "$f()"]
    assert packed_overlay("a: 1\n") == "a: 1\n"


@pytest.mark.parametrize(("key", "value"), [("a", 5), ("b", {"x": [1, "@a"]}), ("d", "text"), ("initialize", [])])
def test_a_block_is_replaced_and_nothing_else(key: str, value: Any) -> None:
    replaced = replace_block(TEXT, key, value)
    assert yaml.safe_load(replaced) == yaml.safe_load(TEXT) | {key: value}
    assert "# head" in replaced


def test_a_block_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no `c`"):
        replace_block(TEXT, "c", 1)
