# SPDX-License-Identifier: Apache-2.0
"""Ranges as YAML states them, and draws from them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import torch


class Ranges:
    """One section of a preset, with its own source of randomness.

    A value is a number (fixed), ``[low, high]`` (uniform), ``{log: [low, high]}`` (uniform in the logarithm),
    ``{normal: [mean, deviation]}`` (cut at two and a half deviations) or, for `choose`, ``{choice: weight, ...}``.
    Sections draw independently: what one draws, or whether it is there, changes nothing in another.

    Args:
        spec: the section, or a whole preset.
        seed: of the study.
        path: where in the preset the section stands, for messages and for its own stream of numbers.
    """

    def __init__(self, spec: Mapping[str, Any], seed: int, path: str = "") -> None:
        self.spec, self.seed, self.path = spec, seed, path
        self.generator = torch.Generator().manual_seed((seed << 20) ^ zlib.crc32(path.encode()))

    def section(self, name: str) -> Ranges:
        """A part of this section."""
        return Ranges(self._entry(name), self.seed, f"{self.path}/{name}")

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number between two bounds that no preset states."""
        return low + (high - low) * torch.rand((), generator=self.generator).item()

    def value(self, name: str) -> float:
        """Draw one number.

        Raises:
            ValueError: for an entry that is missing or no range.
        """
        entry = self._entry(name)
        if isinstance(entry, int | float) and not isinstance(entry, bool):
            return float(entry)
        if isinstance(entry, list | tuple) and len(entry) == 2:
            return self.uniform(float(entry[0]), float(entry[1]))
        if isinstance(entry, Mapping) and set(entry) == {"log"}:
            low, high = (math.log(float(end)) for end in entry["log"])
            return math.exp(self.uniform(low, high))
        if isinstance(entry, Mapping) and set(entry) == {"normal"}:
            mean, deviation = (float(part) for part in entry["normal"])
            drawn = torch.randn((), generator=self.generator).item()
            return mean + deviation * max(-2.5, min(2.5, drawn))
        raise ValueError(
            f"{self.path}/{name} is {entry!r}; need a number, [low, high], {{log: [low, high]}} or "
            "{normal: [mean, deviation]}."
        )

    def happens(self, name: str) -> bool:
        """Whether something with the given chance (0..1) happens."""
        return self.uniform() < self.value(name)

    def choose(self, name: str) -> str:
        """One of several named choices, by weight."""
        entry = self._entry(name)
        if not isinstance(entry, Mapping) or not entry:
            raise ValueError(f"{self.path}/{name} is {entry!r}; need choices with weights, as in {{a: 1, b: 2}}.")
        weights = torch.tensor([float(weight) for weight in entry.values()])
        return str(list(entry)[int(torch.multinomial(weights, 1, generator=self.generator))])

    def _entry(self, name: str) -> Any:
        if name not in self.spec:
            raise ValueError(f"{self.path or 'the preset'} has no {name}; it has {', '.join(map(str, self.spec))}.")
        return self.spec[name]
