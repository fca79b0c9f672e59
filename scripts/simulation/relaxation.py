# SPDX-License-Identifier: Apache-2.0
"""The tissue values of one study: drawn around the table, recorded by name, applied as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from scripts.simulation.ranges import Ranges
from scripts.simulation.tissue import COMPARTMENTS, INDEX, TissueTable

_QUANTITIES = ("t1", "t2", "density")


@dataclass(frozen=True)
class TissueValue:
    """What one compartment is in one study.

    Args:
        name: of the compartment.
        t1: longitudinal relaxation time [s].
        t2: effective transverse relaxation time [s].
        density: signal-bearing proton density relative to free fluid.
    """

    name: str
    t1: float
    t2: float
    density: float

    def __post_init__(self) -> None:
        if self.name not in INDEX:
            raise ValueError(f"Tissue {self.name!r} is unknown; choose one of {', '.join(INDEX)}.")
        if min(self.t1, self.t2) <= 0 or self.density < 0:
            raise ValueError(f"{self} cannot be; need relaxation times above zero [s] and a density of at least zero.")


def draw_tissue_values(ranges: Ranges, field_strength: float) -> tuple[TissueValue, ...]:
    """Draw the tissues of one study.

    Args:
        ranges: section ``tissues``: ``t1``, ``t2`` and ``density`` are multiples of the table's values, drawn for each
            tissue alone; ``only`` holds other ranges for single tissues, as in ``only: {fluid: {t2: [0.8, 1.2]}}``.
        field_strength: static field [T]; the table is interpolated between 1.5 and 3 T and held beyond.

    Raises:
        ValueError: for a tissue or a quantity that does not exist.
    """
    weight = min(max((field_strength - 1.5) / 1.5, 0.0), 1.0)
    only: dict[str, Any] = ranges.spec.get("only") or {}
    if unknown := only.keys() - INDEX.keys():
        raise ValueError(f"Tissue {min(unknown)!r} is unknown; choose one of {', '.join(INDEX)}.")
    drawn = []
    for tissue in COMPARTMENTS:
        own = only.get(tissue.name, {})
        if unknown := own.keys() - set(_QUANTITIES):
            raise ValueError(f"Tissue {tissue.name} has no {min(unknown)!r}; it has {', '.join(_QUANTITIES)}.")
        single = Ranges(dict(ranges.spec) | own, ranges.seed, f"{ranges.path}/{tissue.name}")
        t1, t2, density = (single.value(name) for name in _QUANTITIES)
        middle = [low * (1 - weight) + high * weight for low, high in (tissue.t1, tissue.t2)]
        drawn.append(
            TissueValue(tissue.name, middle[0] * t1, middle[1] * t2, tissue.density * tissue.transfer * density)
        )
    return tuple(drawn)


def tissue_table(values: Sequence[TissueValue]) -> TissueTable:
    """Recorded values in the order of the compartments.

    Raises:
        ValueError: where a compartment is missing or named twice.
    """
    found = {value.name: value for value in values}
    if len(found) != len(values) or found.keys() != INDEX.keys():
        missing = ", ".join(sorted(INDEX.keys() - found.keys())) or "none missing, one named twice"
        raise ValueError(f"A study needs each tissue once; missing: {missing}.")
    ordered = [found[tissue.name] for tissue in COMPARTMENTS]
    return TissueTable(*(torch.tensor([getattr(value, name) for value in ordered]) for name in _QUANTITIES))
