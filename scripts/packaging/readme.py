# SPDX-License-Identifier: Apache-2.0
"""``docs/README.md`` of a package, in the form of the MONAI Model Zoo's template, and the files that it links to."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from scripts.errors import UsageError
from scripts.packaging.configs import checkout_paths_dropped

README = "README.md"

# Sections of the model card that the template has a place of its own for; every other one is about performance.
_PLACED = {
    "What it does": "description",
    "Intended use": "intended_use",
    "Intensity convention": "intensities",
    "Training": "training",
    "Known failures": "failures",
    "Licences": "licences",
}
# What holds for any weights of this code, by the names it has in a card and in a package's README.
_GENERAL = {"intended_use": ("Intended use",), "intensities": ("Intensity convention", "Preprocessing")}
_TEMPLATE = Path(__file__).with_name("readme.md")
_HEADING = re.compile(r"^#{2,4} \**(.+?)\**$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#?:\s]+)\)")


def card_parts(card: str) -> dict[str, str]:
    """Text of the template's places, taken from the model card.

    Args:
        card: the model card of a checkout.

    Raises:
        UsageError: a section is missing.
    """
    sections = _sections(card)
    missing = [name for name in _PLACED if name not in sections]
    if missing:
        raise UsageError(f"the model card has no section {', '.join(missing)}; need all of {', '.join(_PLACED)}.")
    parts = {place: sections[name] for name, place in _PLACED.items()}
    others = [(name, text) for name, text in sections.items() if name not in _PLACED]
    return parts | {"scores": "\n\n".join(f"#### **{name}**\n\n{text}" for name, text in others)}


def general_parts(card: str) -> dict[str, str]:
    """Text of those places that does not depend on the weights.

    Args:
        card: the model card of a checkout, or the README of a package.

    Raises:
        UsageError: a section is missing.
    """
    sections = _sections(card)
    found = {}
    for place, names in _GENERAL.items():
        text = next((sections[name] for name in names if name in sections), None)
        if text is None:
            raise UsageError(f"the model card has no section {names[0]}; need it; add it.")
        found[place] = text
    return found


def readme(parts: Mapping[str, str], metadata: Mapping[str, Any], contrasts: Sequence[str]) -> str:
    """The README of a package.

    Args:
        parts: text of the places, see `card_parts`.
        metadata: content of ``metadata.json``.
        contrasts: names of the two contrasts.
    """
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        parts,
        title=" ".join(str(metadata["task"]).split()),
        authors=metadata["authors"],
        data=str(metadata["data_source"]).rstrip(".") + ".",
        name=metadata["name"],
        packages=_packages(metadata),
        version=metadata["version"],
        weights=metadata["weights_sha256"],
        first=contrasts[0],
        second=contrasts[1],
    )
    return checkout_paths_dropped(text)


def _packages(metadata: Mapping[str, Any]) -> str:
    """The tested versions, as pip takes them; torch first, since others would bring another one."""
    first = {"torch": "pytorch_version", "monai": "monai_version", "numpy": "numpy_version"}
    named = {package: metadata[key] for package, key in first.items()} | metadata["required_packages_version"]
    words = [f"{package}=={version}" for package, version in named.items()]
    lines = [" ".join(words[start : start + 5]) for start in range(0, len(words), 5)]
    return " \\\n    ".join(lines)


def linked_files(text: str, folder: Path) -> dict[str, bytes]:
    """Files that a page shows or links to, and those that these link to.

    Args:
        text: the page, Markdown.
        folder: where it lies.

    Returns:
        Content by path relative to the folder.

    Raises:
        UsageError: a link leads nowhere, or out of the folder.
    """
    found: dict[str, bytes] = {}
    waiting = _LINK.findall(text)
    while waiting:
        name = posixpath.normpath(waiting.pop())
        path = folder / name
        if name in found or name == README:
            continue
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"the model card links to {name}, which is not in {folder.name}; mend the link.")
        found[name] = path.read_bytes()
        if path.suffix == ".md":
            page = checkout_paths_dropped(path.read_text(encoding="utf-8"))
            found[name] = page.encode()
            waiting += [posixpath.join(posixpath.dirname(name), link) for link in _LINK.findall(page)]
    return found


def _sections(text: str) -> dict[str, str]:
    """Text below each heading of the second to fourth level, up to the next heading."""
    pieces = _HEADING.split(text)
    return {name.strip(): body.strip() for name, body in zip(pieces[1::2], pieces[2::2], strict=True)}
