# SPDX-License-Identifier: Apache-2.0
"""The configuration a bundle run was assembled from, as plain data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from monai.bundle import ConfigParser


def enclosing_config() -> dict[str, Any]:
    """The merged configuration (files and overrides) of the bundle run that builds the calling component.

    The bundle grammar gives a component no reference to the whole configuration, and what the user typed is not
    enough to rebuild it. The parser that builds the component stands on the call stack, so it is asked.

    Returns:
        The configuration with references and expressions as text; empty where no bundle run is under way.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        parser = frame.f_locals.get("self")
        config: Any = parser.config if isinstance(parser, ConfigParser) else None
        if isinstance(config, dict) and config:
            return {key: value for key, value in config.items() if key != ConfigParser.meta_key}
        frame = frame.f_back
    return {}


def plain_config(value: Any) -> Any:
    """Copy nested configuration into what YAML and JSON can hold; objects of other kinds become their text."""
    if isinstance(value, Mapping):
        return {str(key): plain_config(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_config(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def look_up(config: Mapping[str, Any], value: Any) -> Any:
    """Follow plain ``@id`` references within a configuration; expressions stay as they are written.

    Args:
        config: the configuration.
        value: a value out of it, containers included.
    """
    if isinstance(value, Mapping):
        return {key: look_up(config, item) for key, item in value.items()}
    if isinstance(value, list):
        return [look_up(config, item) for item in value]
    if isinstance(value, str) and value.startswith("@"):
        found: Any = config
        for step in value[1:].replace("#", "::").split("::"):
            if isinstance(found, list) and step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            elif isinstance(found, Mapping) and step in found:
                found = found[step]
            else:
                return value
        return value if found == value else look_up(config, found)
    return value


def differing_ids(before: Any, after: Any, prefix: str = "") -> list[str]:
    """Ids of the leaves in which two configurations differ, in ``a::b`` form, sorted."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found: list[str] = []
        for key in sorted({*before, *after}, key=str):
            name = f"{prefix}::{key}" if prefix else str(key)
            if key in before and key in after:
                found += differing_ids(before[key], after[key], name)
            else:
                found.append(name)
        return found
    return [] if before == after else [prefix]
