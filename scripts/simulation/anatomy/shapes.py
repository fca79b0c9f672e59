# SPDX-License-Identifier: Apache-2.0
"""Signed distances [mm] to simple solids, negative inside.

Points are tensors ``(3, ...)`` in mm. Distances are exact for capsules and first-order accurate for ellipsoids.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

Vector = Sequence[float]


def _column(values: Vector, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(3, *([1] * (like.ndim - 1)))


def ellipsoid(points: torch.Tensor, centre: Vector, radii: Vector) -> torch.Tensor:
    """Distance to an ellipsoid with the given half-axes along x, y, z."""
    offset = points - _column(centre, points)
    inverse = 1 / _column(radii, points)
    scaled = offset * inverse
    level = scaled.square().sum(0).sqrt()
    gradient = (scaled * inverse).square().sum(0).sqrt().clamp_min(1e-6)
    return level * (level - 1) / gradient


def capsule(
    points: torch.Tensor, start: Vector, end: Vector, radii: tuple[float, float], flat: Vector = (1, 1, 1)
) -> torch.Tensor:
    """Distance to a rounded rod whose radius runs from ``radii[0]`` at ``start`` to ``radii[1]`` at ``end``.

    ``flat`` stretches the axes first: (2, 1, 1) makes the rod half as thick as broad along x.
    """
    stretch = _column(flat, points)
    first, axis = _column(start, points) * stretch, (_column(end, points) - _column(start, points)) * stretch
    offset = points * stretch - first
    along = ((offset * axis).sum(0) / axis.square().sum(0)).clamp(0, 1)
    distance = (offset - along * axis).square().sum(0).sqrt()
    return (distance - (radii[0] + along * (radii[1] - radii[0]))) / max(flat)


def join(a: torch.Tensor, b: torch.Tensor, blend: float = 0.0) -> torch.Tensor:
    """Union of two solids, rounded over ``blend`` mm where they meet."""
    if blend <= 0:
        return torch.minimum(a, b)
    overlap = (blend - (a - b).abs()).clamp_min(0) / blend
    return torch.minimum(a, b) - overlap.square() * blend / 4


def cut(a: torch.Tensor, b: torch.Tensor, blend: float = 0.0) -> torch.Tensor:
    """Solid ``a`` without ``b``."""
    return -join(-a, b, blend)


def meet(a: torch.Tensor, b: torch.Tensor, blend: float = 0.0) -> torch.Tensor:
    """What ``a`` and ``b`` share."""
    return -join(-a, -b, blend)


def coverage(distance: torch.Tensor, edge: float) -> torch.Tensor:
    """Share of a sample of width ``edge`` mm that lies inside, 0..1."""
    return (0.5 - distance / edge).clamp(0, 1)
