# SPDX-License-Identifier: Apache-2.0
"""Smooth maps over a slice: computed on a coarse grid of nodes and interpolated, at a small part of the cost."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

NODES = 48
"""Nodes per axis: every 3.5 mm over a field of view of 160 mm, against lengths of 10 mm and more in the maps."""


def node_places(size: int, nodes: int = NODES) -> Tensor:
    """Positions of the nodes along an axis [pixels], ``(nodes,)``; the first and last lie outside the image."""
    return (torch.arange(nodes, dtype=torch.float64) - 1) * (size - 1) / (nodes - 3)


@lru_cache(maxsize=32)
def interpolation(size: int, nodes: int = NODES) -> Tensor:
    """Matrix ``(size, nodes)`` from values at the nodes to pixels: Catmull-Rom splines, exact for quadratics."""
    place = torch.arange(size, dtype=torch.float64) * (nodes - 3) / (size - 1)
    first = place.floor().clamp(max=nodes - 4)
    t = place - first
    weight = torch.stack(
        (
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        ),
        dim=1,
    )
    matrix = torch.zeros(size, nodes, dtype=torch.float64)
    return matrix.scatter_(1, first.long()[:, None] + torch.arange(4), weight).float()


def spread(values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate node values ``(..., nodes, nodes)`` to an image ``(..., H, W)``."""
    rows, columns = (
        interpolation(size, nodes).to(values.device) for size, nodes in zip(shape, values.shape[-2:], strict=True)
    )
    return rows @ (values @ columns.T)


def positions(affine_lps: Tensor, index: int, row: Tensor, column: Tensor) -> Tensor:
    """LPS positions [mm] of the places ``row`` by ``column`` [pixels] of a slice, float32 ``(3, rows, columns)``."""
    affine = affine_lps.to(dtype=torch.float64, device="cpu")
    start = affine[:3, 3] + affine[:3, 0] * index
    along_rows, along_columns = affine[:3, 1, None] * row, affine[:3, 2, None] * column
    return (start[:, None, None] + along_rows[:, :, None] + along_columns[:, None, :]).float()
