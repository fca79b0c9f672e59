# SPDX-License-Identifier: Apache-2.0
"""Where the gate warns and where it refuses: one file, which `python -m scripts.calibration` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from scripts.errors import UsageError

FILE = Path(__file__).with_name("ranges.yaml")


@dataclass(frozen=True)
class Range:
    """An interval; None is open."""

    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a value lies within, ends included."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True)
class Limits:
    """All limits.

    Args:
        trained: what the training data of the shipped weights span: ``pixel_mm``, ``slice_mm``.
        warned: by contrast and measure, where a scan is warned of unless it lies within.
        refused: by contrast and measure, where a scan is refused unless it lies within.
        preset: of the simulator, that the training data were drawn from.
    """

    trained: Mapping[str, Range]
    warned: Mapping[str, Mapping[str, Range]]
    refused: Mapping[str, Mapping[str, Range]]
    preset: str = ""
    found_on: Mapping[str, Any] = field(default_factory=dict)


@lru_cache(maxsize=1)
def shipped_limits() -> Limits:
    """The limits that come with the weights."""
    return read_limits(FILE)


def read_limits(path: Path) -> Limits:
    """Read a file of limits.

    Raises:
        UsageError: it is missing, or is no file of limits.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Limits(
            trained=_ranges(content["trained"]),
            warned={contrast: _ranges(one) for contrast, one in content["warned"].items()},
            refused={contrast: _ranges(one) for contrast, one in content["refused"].items()},
            preset=str(content.get("preset", "")),
            found_on=content.get("found_on", {}),
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path.name}: no ranges of the gate ({type(error).__name__}); need what kneesynth commission writes; "
            "check the path"
        ) from error


def _ranges(content: Mapping[str, Any]) -> dict[str, Range]:
    def end(value: Any) -> float | None:
        return None if value is None else float(value)

    return {name: Range(end(low), end(high)) for name, (low, high) in content.items()}
