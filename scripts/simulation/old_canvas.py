# SPDX-License-Identifier: Apache-2.0
"""Volume shares of the compartments, laid front to back."""

from __future__ import annotations

import torch

from scripts.simulation.anatomy.shapes import coverage
from scripts.simulation.tissue import COMPARTMENTS, INDEX


class Canvas:
    """Volume shares laid front to back: what is laid first hides what comes later."""

    def __init__(self, shape: torch.Size, edge: float) -> None:
        self.shares = torch.zeros(len(COMPARTMENTS), *shape)
        self.left = torch.ones(shape)
        self.edge = edge

    def inside(self, distance: torch.Tensor) -> torch.Tensor:
        """Share of each sample that lies in a solid."""
        return coverage(distance, self.edge)

    def put(self, name: str, share: torch.Tensor) -> None:
        """Give ``share`` of what is left to one compartment."""
        part = self.left * share
        self.shares[INDEX[name]] += part
        self.left = self.left - part

    def lay(self, name: str, distance: torch.Tensor) -> None:
        """Fill a solid with one compartment."""
        self.put(name, self.inside(distance))

    def put_mixture(self, share: torch.Tensor, parts: dict[str, torch.Tensor]) -> None:
        """Give ``share`` of what is left to several compartments; the parts sum to one."""
        total = self.left * share
        for name, part in parts.items():
            self.shares[INDEX[name]] += total * part
        self.left = self.left - total
