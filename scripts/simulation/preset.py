# SPDX-License-Identifier: Apache-2.0
"""Presets: YAML files that state what may be drawn. One may build on another and name only what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "presets"
BASE = "base"
"""Key of a preset that builds on another."""
SECTIONS = ("geometry", "knee", "lesions", "tissues", "scanner")
"""What a whole preset has."""
OPTIONAL = ("shapes", "training", "benchmark")
_FORMS = ({"log"}, {"normal"})

Preset = Mapping[str, Any]


def preset_names() -> list[str]:
    """The presets that come with the simulator."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.name.startswith("_"))


def load_preset(source: str | Path | Preset) -> dict[str, Any]:
    """Read a preset, with everything that it builds on.

    Args:
        source: a name, see `preset_names`; a YAML file; or what such a file holds. Where it names a ``base``, entries
            that are mappings are merged key by key, so that a choice that is not named keeps its weight; anything else
            is replaced.

    Raises:
        ValueError: for a preset that is not there, is no YAML mapping, has a key that is unknown or lacks a section.
    """
    name, content = _read(source)
    return _resolved(name, content, ())


def preset_hash(preset: Preset) -> str:
    """What identifies a preset's content, 12 hexadecimal digits."""
    text = json.dumps(preset, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _resolved(name: str, content: Preset, seen: tuple[str, ...]) -> dict[str, Any]:
    own = {key: entry for key, entry in content.items() if key != BASE}
    if unknown := [str(key) for key in own if key not in SECTIONS + OPTIONAL]:
        raise ValueError(
            f"Preset {name} has an unknown key {unknown[0]!r}; known are {', '.join(SECTIONS + OPTIONAL)}."
        )
    if BASE not in content:
        if missing := [key for key in SECTIONS if key not in own]:
            raise ValueError(f"Preset {name} lacks {', '.join(missing)}; add it, or build on another: base: clinical.")
        return own
    base = str(content[BASE])
    if base in seen:
        raise ValueError(f"Preset {name} builds on itself ({' > '.join((*seen, base))}); name another base.")
    below = _resolved(base, _read(base)[1], (*seen, base))
    return _merged({key: below.get(key, {}) for key in SECTIONS + OPTIONAL if key in below or key in own}, own, name)


def _read(source: str | Path | Preset) -> tuple[str, Preset]:
    if isinstance(source, Mapping):
        return "given", source
    path = FOLDER / f"{source}.yaml" if str(source) in preset_names() else Path(source)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise ValueError(
            f"Preset {str(source)!r} is unknown; choose one of {', '.join(preset_names())}, or a YAML file."
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(
            f"Preset {path.name} is no YAML ({' '.join(str(error).split())}); correct the file."
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(f"Preset {path.name} is no mapping of sections; see clinical.yaml.")
    return path.stem, content


def _merged(base: Preset, over: Preset, path: str) -> dict[str, Any]:
    merged = dict(base)
    for key, entry in over.items():
        if key not in base and base:  # an empty mapping takes any key; who reads it checks it
            raise ValueError(f"{path} has an unknown key {key!r}; known are {', '.join(map(str, base))}.")
        former = base.get(key)
        both = isinstance(entry, Mapping) and isinstance(former, Mapping)
        ranged = any(set(one) in _FORMS for one in (entry, former) if isinstance(one, Mapping))
        if isinstance(former, Mapping) and not ranged and not isinstance(entry, Mapping):
            raise ValueError(f"{path}/{key} is {entry!r}; need a mapping with keys of {', '.join(map(str, former))}.")
        merged[key] = _merged(former, entry, f"{path}/{key}") if former and both and not ranged else entry
    return merged
