# SPDX-License-Identifier: Apache-2.0
"""Which files of ``scripts`` a bundle needs: what its configs name and its commands import, and nothing else.

Source is read, not run, so that imports inside functions count as those at the top do. Imports for type checkers alone
do not count: nothing runs them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts.bundle_config import texts_of

PACKAGE = "scripts"

_NAMED = re.compile(rf"(?<![\w.]){PACKAGE}(?:\.\w+)+")
_COMPILED = "__pycache__"


def reachable_files(root: Path, configs: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Files that a bundle of these configs needs.

    Args:
        root: folder that holds the ``scripts`` package.
        configs: its configs, references and expressions as text.

    Returns:
        Paths relative to ``root``, sorted: the modules, their packages' ``__init__.py``, and what lies beside a module
        that is needed and is no module itself (pages, presets, regions).
    """
    modules = reachable_modules(root, {*named_modules(configs, root), *command_modules(root)})
    sources = {_source_of(module, root) for module in modules}
    data = {path for folder in {source.parent for source in sources} for path in _data_beside(folder)}
    return sorted(path.relative_to(root) for path in {*sources, *data})


def named_modules(configs: Iterable[Mapping[str, Any]], root: Path) -> set[str]:
    """Modules that configs name, as a ``_target_`` or within an expression."""
    names = {name for config in configs for text in texts_of(config) for name in _NAMED.findall(text)}
    return {module for name in names if (module := _longest_module(name, root))}


def command_modules(root: Path) -> set[str]:
    """What ``python -m scripts`` runs.

    The command line finds its verbs as files of their folder, so no import in the source tells of them.
    """
    verbs = (root / PACKAGE / "cli").glob("*.py")
    return {f"{PACKAGE}.__main__", *(f"{PACKAGE}.cli.{path.stem}" for path in verbs if path.stem != "__init__")}


def reachable_modules(root: Path, start: Iterable[str]) -> set[str]:
    """Modules of the package that some modules import, directly or through others; they themselves included.

    Args:
        root: folder that holds the package.
        start: dotted names.
    """
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        parent = module.rpartition(".")[0]
        waiting += [parent] if parent else []
        waiting += imported_modules(_source_of(module, root).read_text(encoding="utf-8"), root)
    return found


def imported_modules(source: str, root: Path) -> set[str]:
    """Modules of the package that one module's source imports, wherever in it."""
    found = set()
    for node in _run_nodes(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.partition(".")[0] == PACKAGE and (module := _longest_module(name, root)):
                found.add(module)
    return found


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Each statement of a syntax tree, however deep, but for what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):  # holds no statement
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for other in node.orelse:
                yield from (other, *_run_nodes(other))
            continue
        yield node
        yield from _run_nodes(node)


def _longest_module(name: str, root: Path) -> str:
    """The module in a dotted name that may go on with a class or a function; empty where there is none."""
    while name and not _source_of(name, root).is_file():
        name = name.rpartition(".")[0]
    return name


def _source_of(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")


def _data_beside(folder: Path) -> Iterator[Path]:
    """Files in a package's folder that are no modules, those in plain subfolders included."""
    for path in folder.iterdir():
        if path.is_dir():
            if path.name != _COMPILED and not any(path.glob("*.py")):
                yield from _data_beside(path)
        elif path.suffix not in (".py", ".pyc") and not path.name.startswith("."):
            yield path
