# SPDX-License-Identifier: Apache-2.0
"""How a folder or a manifest names its pairs, and what in it is no pair."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.data.pairs import EXPECTED, all_pairs
from scripts.errors import SourceError, UsageError

MANIFESTS = ("dataset.json", "manifest.json")
Item = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """What was pointed at.

    Args:
        layout: which of those that are understood.
        items: the pairs, each with ``patient``, ``section``, ``image`` and ``label``.
        single: patients, or entries, that have one of the two contrasts alone or no pair at all.
        refused: pairs that the manifest itself lists as refused.
    """

    layout: str
    items: Sequence[Item]
    single: Sequence[str] = ()
    refused: int = 0
    program: Mapping[str, Any] = field(default_factory=dict)


def find_data(path: Path) -> Data:
    """List the pairs of a folder or a manifest.

    Raises:
        SourceError: there is nothing that could be a pair.
        UsageError: no such path, or a manifest that cannot be read or names missing files.
    """
    if not path.exists():
        raise UsageError(f"{path.name}: no such folder or manifest; need {EXPECTED}; check the path")
    manifest = path if path.is_file() else next((path / name for name in MANIFESTS if (path / name).is_file()), None)
    if manifest is not None:
        if path.is_file() and path.suffix.lower() != ".json":
            raise UsageError(f"{path.name}: no folder and no JSON; need a folder of pairs or a manifest; name that")
        content = _content(manifest)
        refused = content.get("refused", [])
        items = all_pairs("", str(manifest))
        return Data(
            f"manifest {manifest.name}", items, (), len(refused) if isinstance(refused, list) else 0,
            content.get("program", {}) if isinstance(content.get("program"), dict) else {},
        )  # fmt: skip
    try:
        items = all_pairs(str(path), "")
    except UsageError as error:
        raise SourceError(str(error)) from error
    return Data(_layout(path), items, _single(path, items))


def _content(manifest: Path) -> dict[str, Any]:
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # `all_pairs` says it
    return content if isinstance(content, dict) else {}


def _layout(path: Path) -> str:
    if (path / "PD").is_dir() and (path / "PDFS").is_dir():
        return "PD/<id> beside PDFS/<id>"
    names = {entry.name.partition(".")[0] for folder in path.iterdir() if folder.is_dir() for entry in folder.iterdir()}
    return "<patient>/PD beside <patient>/PDFS" if {"PD", "PDFS"} <= names else "a DICOM study per folder"


def _single(path: Path, items: Sequence[Item]) -> tuple[str, ...]:
    paired = {str(item["patient"]) for item in items}
    if (path / "PD").is_dir() and (path / "PDFS").is_dir():
        named = {_stem(entry.name) for contrast in ("PD", "PDFS") for entry in (path / contrast).iterdir()}
    else:
        named = {entry.name for entry in path.iterdir() if entry.is_dir()}
    return tuple(sorted(name for name in named - paired if not name.startswith(".")))


def _stem(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".nii")
