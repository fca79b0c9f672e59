# SPDX-License-Identifier: Apache-2.0
"""What a package needs of ``scripts``, on a toy tree and on ours."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scripts.packaging.archive import Package
from scripts.packaging.reachable import imported_modules, named_modules, reachable_files

ROOT = Path(__file__).resolve().parents[2]

TREE = {
    "__init__.py": "",
    "__main__.py": "from scripts.cli.app import main\n",
    "cli/__init__.py": "",
    "cli/app.py": "def main(): ...\n",
    "cli/late.py": "def late():\n    from scripts.tools import hammer\n",
    "cli/typed.py": "if TYPE_CHECKING:\n    from scripts.unused import Thing\nelse:\n    import scripts.tools.saw\n",
    "tools/__init__.py": "",
    "tools/hammer.py": "from scripts.tools.nail import Nail\nimport json\n",
    "tools/nail.py": "from scripts.tools import hammer\n",
    "tools/saw.py": "",
    "tools/plane.py": "",
    "tools/page.html": "<p>",
    "tools/plans/a.json": "{}",
    "unused/__init__.py": "",
    "unused/Thing.py": "",
    "unused/page.html": "<p>",
    "named.py": "",
    "called.py": "",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        path = tmp_path / "scripts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "scripts" / "tools" / "__pycache__").mkdir()
    (tmp_path / "scripts" / "tools" / "__pycache__" / "nail.pyc").write_bytes(b"")
    return tmp_path


def test_what_is_named_or_imported_is_reached_and_nothing_else(tree: Path) -> None:
    configs = [{"a": {"_target_": "scripts.named.Thing"}, "b": ["$scripts.called.f(@a)"], "c": "myscripts.unused.x"}]
    found = {path.relative_to("scripts").as_posix() for path in reachable_files(tree, configs)}
    assert found == set(TREE) - {"tools/plane.py", "unused/__init__.py", "unused/Thing.py", "unused/page.html"}


def test_a_name_that_is_no_module_is_nothing(tree: Path) -> None:
    assert named_modules([{"_target_": "scripts.tools.hammer.Hammer"}], tree) == {"scripts.tools.hammer"}
    assert imported_modules("import os, scripts.tools.saw as s\nfrom . import x\n", tree) == {"scripts.tools.saw"}


def test_the_package_holds_all_that_its_modules_import(shipped: Package, tmp_path: Path) -> None:
    """Compared with another reading of the same source: every name after ``import`` or ``from``, wherever it stands."""
    modules = {p[:-3].replace("/", ".") for p in shipped.files if p.startswith("scripts/") and p.endswith(".py")}
    modules |= {name.removesuffix(".__init__") for name in modules}
    missing = []
    for path, content in shipped.files.items():
        if not path.startswith("scripts/") or not path.endswith(".py"):
            continue
        tree = ast.parse(content)
        for_types = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.ImportFrom)
                and str(node.module).startswith("scripts")
                and id(node) not in for_types
            ):
                missing += [] if node.module in modules else [f"{path}: {node.module}"]
    assert missing == []


@pytest.mark.parametrize("room", ["scripts/study", "scripts/simulation/atlas", "tests"])
def test_what_only_studies_the_bundle_stays_at_home(shipped: Package, room: str) -> None:
    assert [path for path in shipped.files if path.startswith(room)] == []


@pytest.mark.parametrize(
    "path",
    [
        "scripts/cli/synthesize.py",
        "scripts/dicom/write.py",
        "scripts/report/page.js",
        "scripts/simulation/presets/clinical.yaml",
        "scripts/scorecard/regions/ge_mese.json",
        "scripts/diagnosis/page.html",
        "scripts/packaging/readme.md",
    ],
)
def test_what_commands_need_is_there(shipped: Package, path: str) -> None:
    assert shipped.files[path] == (ROOT / path).read_bytes()
