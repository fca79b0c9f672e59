# SPDX-License-Identifier: Apache-2.0
"""Frozen dataclasses of plain values to JSON's types and back, exactly."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union

T = TypeVar("T")
KIND = "kind"
"""Key that names the class where a field may hold one of several."""


def as_plain(value: Any) -> Any:
    """A record as dictionaries, lists, numbers and strings, as JSON holds them.

    Every record carries the name of its class under `KIND`, so that a field of several possible classes comes back as
    what it was.

    Raises:
        TypeError: for a value that JSON cannot hold.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {KIND: type(value).__name__} | {one.name: as_plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"A record holds {type(value).__name__} {value!r}; need numbers, strings, and sequences of them.")


def from_plain(kind: type[T], content: Any, known: Sequence[type] = (), path: str = "") -> T:
    """The record that `as_plain` wrote.

    Args:
        kind: the class, or annotation of a field.
        content: what `as_plain` gave, possibly through JSON.
        known: classes that stand behind a protocol, found by the name that the record carries.
        path: where in the record, for messages.

    Raises:
        ValueError: for a missing, unknown or misplaced entry; the message says where.
    """
    return typing.cast(T, _build(kind, content, known, path or getattr(kind, "__name__", "record")))


def _build(kind: Any, content: Any, known: Sequence[type], path: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return content
    if origin in (Union, types.UnionType):
        if content is None and type(None) in arguments:
            return None
        options = [one for one in arguments if one is not type(None)]
        return _build(options[0] if len(options) == 1 else _named(content, options, path), content, known, path)
    if origin is tuple:
        return _tuple(arguments, content, known, path)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _expect(isinstance(content, Mapping), path, "a mapping", content)
        return {key: _build(arguments[1], entry, known, f"{path}.{key}") for key, entry in content.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind, content, known, path)
    if kind is float:
        _expect(isinstance(content, int | float) and not isinstance(content, bool), path, "a number", content)
        return float(content)
    if kind in (int, bool, str):
        _expect(
            type(content) is kind, path, {int: "a whole number", bool: "true or false", str: "a text"}[kind], content
        )
        return content
    return _build(_named(content, known, path), content, known, path)


def _dataclass(kind: type, content: Any, known: Sequence[type], path: str) -> Any:
    _expect(isinstance(content, Mapping), path, "a mapping", content)
    hints = typing.get_type_hints(kind)
    names = {one.name for one in fields(kind)}
    given = {key: entry for key, entry in content.items() if key != KIND}
    if unknown := given.keys() - names:
        raise ValueError(f"{path} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(names))}.")
    if missing := names - given.keys():
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}; give every drawn value.")
    return kind(**{name: _build(hints[name], entry, known, f"{path}.{name}") for name, entry in given.items()})


def _tuple(arguments: tuple[Any, ...], content: Any, known: Sequence[type], path: str) -> tuple[Any, ...]:
    _expect(isinstance(content, list | tuple), path, "a list", content)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        kinds = (arguments[0],) * len(content)
    else:
        kinds = arguments
        _expect(len(content) == len(kinds), path, f"{len(kinds)} values", content)
    pairs = zip(kinds, content, strict=True)
    return tuple(_build(kind, entry, known, f"{path}[{number}]") for number, (kind, entry) in enumerate(pairs))


def _named(content: Any, options: Sequence[type], path: str) -> type:
    name = content.get(KIND) if isinstance(content, Mapping) else None
    for option in options:
        if option.__name__ == name:
            return option
    raise ValueError(f"{path} is a {name!r}; need one of {', '.join(one.__name__ for one in options) or 'none'}.")


def _expect(holds: bool, path: str, needed: str, found: Any) -> None:
    if not holds:
        raise ValueError(f"{path} is {found!r}; need {needed}.")
