# SPDX-License-Identifier: Apache-2.0
"""Volume shares of the compartments at points in space, laid front to back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scripts.simulation.anatomy.shapes import coverage
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.tissue import COMPARTMENTS, INDEX

Material = Mapping[str, Tensor | float]
"""What a structure is made of: share of each compartment, 0..1; what is missing to one is void (no signal)."""


@dataclass(frozen=True)
class Sample:
    """What an anatomy holds at some points.

    Args:
        shares: volume share of each compartment, 0..1, sum one, ``(C, ...)`` in the order of `COMPARTMENTS`.
        labels: structure with the largest share, uint8 ``(...)``, values of `LABEL`.
        lesion: share of the point that any lesion changed, 0..1, ``(...)``.
    """

    shares: Tensor
    labels: Tensor
    lesion: Tensor


class Anatomy(Protocol):
    """Anything that can be scanned: a knee, or random shapes."""

    def sample(self, points: Tensor, edge: float) -> Sample:
        """What is found at ``points`` ``(3, ...)``, LPS [mm]; boundaries are spread over ``edge`` [mm]."""
        ...


class Canvas:
    """Compartments laid front to back: what is laid first hides what comes later.

    Args:
        like: any tensor of the points' shape, for shape and device.
        edge: width [mm] over which a boundary is spread.
    """

    def __init__(self, like: Tensor, edge: float) -> None:
        self.shares = torch.zeros(len(COMPARTMENTS), *like.shape, device=like.device)
        self.left = torch.ones_like(like)
        self.labels = torch.zeros(like.shape, dtype=torch.uint8, device=like.device)
        self._largest = torch.zeros_like(like)
        self.edge = edge

    def lay(self, structure: str, distance: Tensor, material: Material) -> None:
        """Fill a solid, given by its signed distance [mm], with a material."""
        self.put(structure, coverage(distance, self.edge), material)

    def put(self, structure: str, share: Tensor, material: Material) -> None:
        """Give ``share`` (0..1) of what is left at each point to a structure made of ``material``."""
        total = self.left * share
        rest: Tensor | float = 1.0
        for name, part in material.items():
            self.shares[INDEX[name]] += total * part
            rest = rest - part
        self.shares[INDEX["air"]] += total * rest
        self.left = self.left - total
        larger = total > self._largest
        self.labels[larger] = LABEL[structure]
        self._largest = torch.maximum(self._largest, total)

    def finish(self) -> Sample:
        """What was laid; what nothing was laid on is background."""
        shares = self.shares.clamp_min(0)  # rounding leaves minus 1e-8
        shares[INDEX["air"]] += self.left
        labels = torch.where(self.left > self._largest, torch.zeros_like(self.labels), self.labels)
        return Sample(shares, labels, torch.zeros_like(self.left))
