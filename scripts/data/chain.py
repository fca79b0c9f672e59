# SPDX-License-Identifier: Apache-2.0
"""What a preprocessing chain does, as a text: equal texts make equal volumes, so that a cache can go by it."""

from __future__ import annotations

import enum
import hashlib
import json
import threading
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.transforms import Compose
from monai.transforms.traits import RandomizableTrait

READING_CODE = ("transforms", "dicom", "body.py", "errors.py")
"""What turns files into volumes; a change of it may change every volume."""
_DEEPEST = 12


class Undescribable(Exception):
    """A chain with something in it that cannot be told by a text: randomness, an open file, a compiled object."""


def describe_chain(transform: Any) -> str:
    """Classes, settings and code of a chain, as JSON.

    Raises:
        Undescribable: the chain is random, or holds a setting whose value cannot be told.
    """
    return json.dumps({"chain": _told(transform, 0), "code": reading_code(), "monai": monai.__version__})


@lru_cache(maxsize=1)
def reading_code() -> str:
    """Hash of this project's code that reads and prepares volumes."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for name in READING_CODE:
        for file in sorted((root / name).rglob("*.py")) if (root / name).is_dir() else [root / name]:
            digest.update(f"{file.relative_to(root)}:".encode() + file.read_bytes())
    return digest.hexdigest()


def _told(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise Undescribable("settings nested too deeply")
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, Path | enum.Enum | torch.dtype | torch.device | np.dtype):
        return f"{type(value).__name__} {value}"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return hash_of(torch.as_tensor(np.asarray(value)))
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Mapping):
        return [[str(key), _told(value[key], depth + 1)] for key in sorted(value, key=str)]
    if isinstance(value, AbstractSet):
        return sorted(json.dumps(_told(one, depth + 1)) for one in value)
    if isinstance(value, Sequence):
        return [_told(one, depth + 1) for one in value]
    if isinstance(value, types.FunctionType):
        return _of_function(value, depth)
    if isinstance(value, types.BuiltinFunctionType) and isinstance(value.__self__, types.ModuleType | None):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, partial):
        return ["partial", *(_told(part, depth + 1) for part in (value.func, value.args, value.keywords))]
    if isinstance(value, types.MethodType):
        return [_told(value.__self__, depth + 1), value.__name__]
    if isinstance(value, Compose):  # which is Randomizable itself, for the sake of what it may hold
        if type(value) is not Compose:
            raise Undescribable(f"a {type(value).__name__} chooses at random")
        settings = (value.map_items, value.unpack_items, str(value.lazy), value.overrides)
        return ["Compose", _told(settings, depth + 1), _told(value.transforms, depth + 1)]
    if isinstance(value, RandomizableTrait):
        raise Undescribable(f"{type(value).__name__} is random")
    if hasattr(value, "__dict__") and not isinstance(value, types.ModuleType):
        kind = type(value)
        held = {
            key: one for key, one in vars(value).items() if not isinstance(one, threading.local)
        }  # MONAI's switches
        return [f"{kind.__module__}.{kind.__qualname__}", _told(held, depth + 1)]
    raise Undescribable(f"a setting is a {type(value).__name__}")


def _of_function(function: types.FunctionType, depth: int) -> Any:
    """A function by its code, its defaults and the values it uses: the same lambda of another setting is another."""
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    used = {name: function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__}
    plain = {key: one for key, one in used.items() if isinstance(one, bool | int | float | str | tuple | list)}
    parts = (_code(function.__code__), function.__defaults__, function.__kwdefaults__, held, plain)
    return [f"{function.__module__}.{function.__qualname__}", _told(parts, depth + 1)]


def _code(code: types.CodeType) -> list[Any]:
    constants = [_code(one) if isinstance(one, types.CodeType) else repr(one) for one in code.co_consts]
    return [code.co_code, code.co_names, constants]


def _names(code: types.CodeType) -> set[str]:
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def hash_of(tensor: torch.Tensor) -> str:
    """Hash of a tensor's kind, shape and values."""
    plain = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{plain.dtype} {tuple(plain.shape)}".encode())
    digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
