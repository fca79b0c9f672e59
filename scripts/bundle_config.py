# SPDX-License-Identifier: Apache-2.0
"""Bundle configs as text: merging overlays, and finding what MONAI would pass over in silence.

MONAI merges a second file into the first by its top-level keys only, and never asks whether the first knew them:

============================  ======================================================================
``a: {y: 2}``                 replaces all of ``a``; what the base had there besides ``y`` is gone
``+a: {y: 2}``, ``+a: [2]``   adds to the mapping (one level deep) or appends to the list
``a::y: 2``, ``a#y: 2``       sets that one leaf (``a::0`` is the first item of a list)
============================  ======================================================================

A misspelt key is thereby a run with the default value. Here it is a refusal.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import pydoc
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver
from monai.bundle.utils import merge_kv

from scripts.errors import UsageError

SEPARATOR = "::"
BUILD_KEYS = frozenset(ConfigComponent.non_arg_keys)  # steer how MONAI builds a component; allowed in each mapping

Source = Path | str | Mapping[str, Any]


def read_config(source: Source) -> dict[str, Any]:
    """Read one YAML or JSON config; a mapping is copied.

    Args:
        source: path of the file, or the config itself.

    Raises:
        UsageError: the file is missing, is not YAML or JSON, or holds no mapping.
    """
    if isinstance(source, Mapping):
        return copy.deepcopy(dict(source))
    path = Path(source)
    if not path.is_file():
        raise UsageError(f"No config file at {path}; name a YAML or JSON file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # MONAI only warns of a key that is there twice
            config = ConfigParser.load_config_file(path)
    except (ValueError, UserWarning, yaml.YAMLError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"Config {path.name} cannot be read: {reason}. It needs to be valid YAML or JSON.") from error
    if not isinstance(config, dict):
        raise UsageError(f"Config {path.name} holds no keys; it needs `key: value` lines.")
    return config


def load_config(base: Source, overlays: Sequence[Source] = ()) -> dict[str, Any]:
    """Merge overlays into a base as ``monai.bundle run --config_file "['base','overlay']"`` does, but checked.

    Args:
        base: a config that runs alone.
        overlays: applied in order; each is checked against the chain before it.

    Returns:
        The merged config; references and expressions are left as they stand.

    Raises:
        UsageError: a file cannot be read; an overlay sets an id that the chain before it does not define, or replaces a
            mapping and would thereby drop settings of it.
    """
    merged = read_config(base)
    for source in overlays:
        overlay = read_config(source)
        label = "The config" if isinstance(source, Mapping) else Path(source).name
        unknown = unknown_ids(merged, overlay)
        if unknown:
            raise UsageError(f"{label} sets what the base config does not have: {_with_hints(merged, unknown)}.")
        dropped = dropped_ids(merged, overlay)
        if dropped:
            parents = sorted({key.rpartition(SEPARATOR)[0] for key in dropped})
            raise UsageError(
                f"{label} would drop {', '.join(dropped)}: a plain key replaces the whole mapping. "
                f"Give all of its settings, or write {', '.join('`+' + parent + ':`' for parent in parents)} to merge."
            )
        parser = ConfigParser(config=merged)
        for key, value in overlay.items():
            try:
                merge_kv(parser, key, value)
            except ValueError as error:
                raise UsageError(
                    f"{label}: `{key}` can only be merged into a mapping or a list of its kind."
                ) from error
        merged = parser.get()
    return merged


def unknown_ids(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> list[str]:
    """List the ids that an overlay sets and its base does not define.

    Mappings are compared to their leaves. A mapping that names its own ``_target_`` is a new component: its arguments
    are not the base's business (see `target_faults`). Items appended to a list are new by intent.

    Args:
        base: the config, or merged chain, that the overlay is applied on.
        overlay: the keys to set, in any of MONAI's spellings.

    Returns:
        Full ids with ``::``, in the overlay's order.
    """
    parser = ConfigParser(config=copy.deepcopy(dict(base)))
    return [unknown for key, value in overlay.items() for unknown in _unknown(parser, _plain_id(key), value)]


def dropped_ids(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> list[str]:
    """List the ids that a base defines and that would vanish because an overlay replaces the mapping around them.

    Args:
        base: the config, or merged chain, that the overlay is applied on.
        overlay: the keys to set, in any of MONAI's spellings.

    Returns:
        Full ids with ``::``. Components (mappings with a ``_target_``) are replaced as a whole by intent: no entry.
    """
    parser = ConfigParser(config=copy.deepcopy(dict(base)))
    dropped: list[str] = []
    for key, value in overlay.items():
        if key.startswith("+"):  # merges one level deep and replaces from there on
            for name, item in value.items() if isinstance(value, Mapping) else ():
                dropped += _dropped(parser, f"{_plain_id(key)}{SEPARATOR}{name}", item)
        else:
            dropped += _dropped(parser, _plain_id(key), value)
    return dropped


def target_faults(config: Mapping[str, Any]) -> list[str]:
    """List the components of a config that cannot be built as written.

    Args:
        config: a whole config, merged where it has overlays.

    Returns:
        One line for each ``_target_`` that does not import, and for each argument that its signature does not take or
        needs and does not get.
    """
    locator = ComponentLocator()
    faults = []
    for config_id, item in _components(config):
        target = item["_target_"]
        if not isinstance(target, str) or target[:1] in ("$", "@", "%"):
            continue  # known only when the config is parsed
        try:
            component = _locate(target, locator)
        except pydoc.ErrorDuringImport as error:
            faults.append(f"{config_id}: `{target}` does not import: {error.value}")
            continue
        if component is None:
            faults.append(f"{config_id}: there is no `{target}`")
            continue
        faults += [f"{config_id}: `{target}` {fault}" for fault in _argument_faults(component, item)]
    return faults


def _plain_id(key: str) -> str:
    """Return a config key without its merge sign and with ``::`` as separator."""
    return ReferenceResolver.normalize_id(key.removeprefix("+"))


def _unknown(parser: ConfigParser, config_id: str, value: Any) -> Iterator[str]:
    """Yield the ids at and below one overlay entry that the base lacks."""
    if config_id.rpartition(SEPARATOR)[2] in BUILD_KEYS and config_id.rpartition(SEPARATOR)[0] in parser:
        return
    if config_id not in parser:
        yield config_id
        return
    known = parser[config_id]
    if isinstance(value, Mapping) and isinstance(known, Mapping) and "_target_" not in value:
        for name, item in value.items():
            yield from _unknown(parser, f"{config_id}{SEPARATOR}{_plain_id(str(name))}", item)


def _dropped(parser: ConfigParser, config_id: str, value: Any) -> Iterator[str]:
    """Yield the ids below one replaced entry that the replacement leaves out."""
    known = parser.get(config_id)
    if not isinstance(value, Mapping) or not isinstance(known, Mapping) or "_target_" in value:
        return
    for name in known:
        inner = f"{config_id}{SEPARATOR}{name}"
        if name in value:
            yield from _dropped(parser, inner, value[name])
        else:
            yield inner


def _with_hints(base: Mapping[str, Any], unknown: Sequence[str]) -> str:
    """Join unknown ids, each with the nearest known one where one is near."""
    known = list(_all_ids(base))
    words = []
    for config_id in unknown:
        near = difflib.get_close_matches(config_id, known, n=1, cutoff=0.75)
        words.append(f"`{config_id}`" + (f" (did you mean `{near[0]}`?)" if near else ""))
    return ", ".join(words)


def _all_ids(config: Any, prefix: str = "") -> Iterator[str]:
    """Yield the id of each entry of a config, outermost first."""
    items = config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        inner = f"{prefix}{SEPARATOR}{key}" if prefix else str(key)
        yield inner
        yield from _all_ids(value, inner)


def _components(config: Any, prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the id and mapping of each component of a config."""
    if isinstance(config, Mapping) and "_target_" in config:
        yield prefix, config
    items = config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        yield from _components(value, f"{prefix}{SEPARATOR}{key}" if prefix else str(key))


def _locate(target: str, locator: ComponentLocator) -> Callable[..., Any] | None:
    """Return what a ``_target_`` names: a bare MONAI name, or a dotted path; None where there is no such thing."""
    module = locator.get_component_module_name(target)
    if module:
        target = f"{module if isinstance(module, str) else module[0]}.{target}"
    found = pydoc.locate(target)
    return found if callable(found) else None


def _argument_faults(component: Callable[..., Any], item: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a component's signature objects to in its mapping."""
    try:
        parameters = inspect.signature(component).parameters
    except (TypeError, ValueError):  # built in, without a signature
        return
    given = set(item) - BUILD_KEYS
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        yield from (f"takes no `{name}`" for name in item if name in given and name not in parameters)
    if item.get("_mode_", "default") != "callable":
        yield from (
            f"needs `{name}`"
            for name, parameter in parameters.items()
            if name not in given
            and parameter.default is inspect.Parameter.empty
            and parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        )


def texts_of(value: Any) -> Iterator[str]:
    """Every string within a config, however deep; keys are left out."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from texts_of(item)
    elif isinstance(value, str):
        yield value
