# SPDX-License-Identifier: Apache-2.0
"""Rows of a dataclass in a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

_Row = TypeVar("_Row")


def write_csv(rows: Sequence[Any], kind: type) -> str:
    """Rows of a dataclass as CSV, numbers to five digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        plain = asdict(row)
        writer.writerow({key: _digits(value) for key, value in plain.items()})
    return text.getvalue()


def _digits(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:.5g}" if value == value else ""


def read_csv(path: Path, kind: type[_Row]) -> list[_Row]:
    """What `write_csv` wrote; an empty cell is not a number."""
    types = get_type_hints(kind)

    def value(name: str, text: str) -> Any:
        if types[name] is bool:
            return text == "True"
        return types[name](text or "nan") if types[name] is float else types[name](text)

    with path.open(encoding="utf-8", newline="") as stream:
        return [kind(**{name: value(name, text) for name, text in row.items()}) for row in csv.DictReader(stream)]
