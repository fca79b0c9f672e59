# SPDX-License-Identifier: Apache-2.0
"""Signed distances [mm] to simple solids, negative inside.

Points are tensors ``(3, ...)`` in mm. Distances are exact for capsules and first-order accurate for ellipsoids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    points: torch.Tensor,
    start: Vector,
    end: Vector,
    radii: tuple[float, float],
    flat: Vector = (1, 1, 1),
) -> torch.Tensor:
    """Distance to a rounded rod whose radius runs from ``radii[0]`` at ``start`` to ``radii[1]`` at ``end``.

    ``flat`` stretches the axes first: (2, 1, 1) makes the rod half as thick as broad along x.
    """
    stretch = _column(flat, points)
    first, axis = (
        _column(start, points) * stretch,
        (_column(end, points) - _column(start, points)) * stretch,
    )
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


# -- Solids from single coordinates: cheaper than the ones above, and their dimensions may be tensors to be fitted. ----

Disc = tuple[float, float, float]
"""Centre and radius of a circle."""
Ball = tuple[float, float, float, float]
"""Centre and radius of a ball."""
Pair = tuple[float, float]


def disc_hull(u: torch.Tensor, v: torch.Tensor, first: Disc, second: Disc) -> torch.Tensor:
    """Distance in a plane to the convex hull of two circles, of which neither holds the other."""
    du, dv = second[0] - first[0], second[1] - first[1]
    length = (du * du + dv * dv) ** 0.5
    du, dv = du / length, dv / length
    a, b = u - first[0], v - first[1]
    along, across = a * du + b * dv, (a * dv - b * du).abs()
    shrink = max(-0.97, min(0.97, (first[2] - second[2]) / length))
    # The nearest circle of the row between the two: the one whose rim is normal to the line to the point.
    centre = (along - across * (shrink / (1 - shrink * shrink) ** 0.5)).clamp_min(0)
    centre = torch.minimum(centre, torch.zeros_like(centre) + length)
    return ((across.square() + (along - centre).square()) + 1e-9).sqrt() - first[2] + shrink * centre


def ball_hull(q: torch.Tensor, first: Ball, second: Ball) -> torch.Tensor:
    """Distance to the convex hull of two balls: a tapered rod with round ends."""
    axis = [second[k] - first[k] for k in range(3)]
    length = (axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2]) ** 0.5
    a, b, c = q[0] - first[0], q[1] - first[1], q[2] - first[2]
    along = a * (axis[0] / length) + b * (axis[1] / length) + c * (axis[2] / length)
    across = (a * a + b * b + c * c - along * along).clamp_min(1e-9).sqrt()
    shrink = max(-0.97, min(0.97, (first[3] - second[3]) / length))
    centre = (along - across * (shrink / (1 - shrink * shrink) ** 0.5)).clamp_min(0)
    centre = torch.minimum(centre, torch.zeros_like(centre) + length)
    return ((across.square() + (along - centre).square()) + 1e-9).sqrt() - first[3] + shrink * centre


def round_meet(radius: float, *sides: torch.Tensor) -> torch.Tensor:
    """What several solids share, its edges rounded by ``radius`` mm; exact where the sides stand at right angles."""
    outside = torch.zeros_like(sides[0])
    deepest = sides[0]
    for side in sides:
        outside = outside + (side + radius).clamp_min(0).square()
    for side in sides[1:]:
        deepest = torch.maximum(deepest, side)
    return (outside + 1e-12).sqrt() + (deepest + radius).clamp_max(0) - radius


def strap(
    q: torch.Tensor,
    start: Vector,
    end: Vector,
    across: Vector,
    half_width: Pair,
    half_depth: Pair,
    edge: float = 1.0,
    bow: float = 0.0,
) -> torch.Tensor:
    """Distance to a flat strap with rounded edges.

    Args:
        q: points ``(3, ...)`` [mm].
        start: one end.
        end: the other end.
        across: direction of its width.
        half_width: half the width at start and end.
        half_depth: half the thickness at start and end.
        edge: radius of its edges.
        bow: how far its sides bend, mm per mm² of distance from the middle, along axis times width.
    """
    axis = torch.tensor([float(e - s) for s, e in zip(start, end, strict=True)])
    length = float(axis.norm())
    axis = axis / length
    wide = torch.tensor([float(part) for part in across])
    wide = wide - (wide * axis).sum() * axis
    wide = wide / wide.norm()
    deep = torch.linalg.cross(axis, wide)
    offset = [q[k] - start[k] for k in range(3)]
    along, side, up = (
        offset[0] * float(d[0]) + offset[1] * float(d[1]) + offset[2] * float(d[2]) for d in (axis, wide, deep)
    )
    t = (along / length).clamp(0, 1)
    half = half_width[0] + (half_width[1] - half_width[0]) * t
    depth = half_depth[0] + (half_depth[1] - half_depth[0]) * t
    ends = (along - length / 2).abs() - length / 2
    return round_meet(edge, side.abs() - half, (up - bow * side.square()).abs() - depth, ends)


def within(
    q: torch.Tensor,
    low: Vector,
    high: Vector,
    solid: Callable[[torch.Tensor], torch.Tensor],
    margin: float = 6.0,
) -> torch.Tensor:
    """Evaluate a solid only near the box that holds it.

    Points farther than ``margin`` mm from the box get their distance to it (the largest of the three), which is no more
    than the distance to the solid.
    """
    outside = torch.zeros_like(q[0])
    for k in range(3):
        outside = torch.maximum(outside, torch.maximum(low[k] - q[k], q[k] - high[k]))
    near = outside < margin
    values = outside
    if bool(near.any()):
        values[near] = solid(q[:, near])
    return values
