# SPDX-License-Identifier: Apache-2.0
"""The muscles around the standard right knee: bellies of elliptic cross-section that fill their fascia together.

Positions and girths follow cross-sectional anatomy of an average adult leg, set by eye; bellies overlap by design and
share the space half-way, as muscles do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.anatomy.shapes import ellipsoid, join

Level = tuple[float, float, float, float, float]
"""Height z of a cross-section, its centre x and y and its half-axes along x and y [mm]."""

BELLIES: dict[str, tuple[Level, ...]] = {
    "vastus medialis": (
        (160, -36, -18, 32, 34), (90, -38, -17, 27, 30), (50, -36, -19, 17, 20), (28, -36, -20, 8, 14),
        (12, -36, -18, 2, 6),
    ),
    "vastus lateralis": (
        (160, 38, -16, 28, 34), (90, 36, -20, 20, 27), (58, 34, -21, 11, 20), (36, 34, -22, 4, 11), (22, 34, -22, 2, 4),
    ),
    "rectus and intermedius": (
        (160, 2, -38, 36, 24), (100, 1, -36, 28, 14), (72, 1, -37, 18, 6), (56, 1, -38, 8, 2),
    ),
    "semimembranosus": (
        (160, -16, 44, 24, 20), (90, -21, 44, 20, 17), (50, -26, 41, 15, 13), (20, -29, 36, 7, 8), (-4, -30, 28, 4, 5),
    ),
    "semitendinosus": (
        (160, -14, 66, 15, 11), (90, -21, 62, 10, 8), (50, -26, 57, 4.5, 4.0), (0, -36, 44, 2.4, 2.4),
        (-40, -34, 10, 2, 3),
    ),
    "biceps femoris": (
        (160, 24, 52, 24, 21), (90, 33, 45, 17, 17), (50, 38, 39, 12, 15), (20, 40, 33, 7, 12), (-4, 39, 27, 4, 7),
        (-18, 37, 23, 2, 3),
    ),
    "gracilis": ((160, -46, 46, 9, 13), (90, -46, 42, 6, 9), (50, -46, 37, 3.5, 6), (10, -45, 31, 2, 3)),
    "sartorius": (
        (160, -54, 14, 10, 15), (90, -52, 22, 7, 13), (50, -49, 27, 5, 12), (10, -45, 27, 3.5, 10),
        (-34, -38, 12, 2, 7),
    ),
    "gastrocnemius medialis": (
        (48, -18, 30, 4, 4), (26, -19, 39, 12, 11), (0, -20, 45, 18, 16), (-30, -22, 49, 20, 15),
        (-60, -24, 51, 23, 16), (-100, -24, 50, 25, 16), (-160, -22, 46, 22, 13),
    ),
    "gastrocnemius lateralis": (
        (46, 20, 30, 4, 4), (24, 20, 39, 11, 11), (0, 21, 45, 16, 15), (-30, 22, 49, 17, 13), (-60, 23, 49, 19, 14),
        (-100, 22, 48, 20, 14), (-160, 18, 46, 16, 11),
    ),
    "plantaris": ((30, 17, 32, 3, 3), (4, 15, 35, 5, 4), (-30, 8, 38, 2, 2)),
    "popliteus": (
        (-2, 26, 20, 3, 4), (-14, 14, 25, 9, 5), (-32, -4, 25, 17, 7), (-52, -9, 23, 16, 7), (-74, -10, 20, 6, 4),
    ),
    "soleus": (
        (-18, 32, 32, 4, 5), (-40, 22, 35, 16, 8), (-60, 10, 35, 27, 11), (-100, 2, 34, 33, 14), (-160, 0, 32, 33, 16),
    ),
    "tibialis posterior": ((-44, 16, 17, 3, 4), (-70, 14, 18, 8, 9), (-160, 12, 18, 11, 11)),
    "tibialis anterior": (
        (-18, 25, -8, 4, 5), (-36, 26, -5, 11, 11), (-60, 26, -5, 14, 15), (-100, 25, -4, 15, 17),
        (-160, 24, -4, 15, 18),
    ),
    "peroneals": ((-20, 40, 10, 3, 5), (-46, 42, 10, 8, 10), (-100, 41, 9, 10, 12), (-160, 38, 8, 9, 12)),
}  # fmt: skip
"""Cross-sections of each belly from the upper to the lower end; between them they are interpolated."""

TENDON_GIRTH = 3.2
"""Bellies thinner than this [mm] are tendon."""


@dataclass(frozen=True)
class Muscles:
    """The bellies at some points.

    Args:
        distance: signed distance to the nearest belly [mm], negative inside.
        plane: distance [mm] to the plane between the two nearest bellies; large where only one is near.
        girth: smaller half-axis [mm] of the nearest belly there; below `TENDON_GIRTH` it is tendon.
        which: number of the nearest belly, in the order of `BELLIES`.
    """

    distance: Tensor
    plane: Tensor
    girth: Tensor
    which: Tensor


def muscles(q: Tensor, bulk: float = 1.0) -> Muscles:
    """Where the muscles are.

    Args:
        q: points of the standard knee, ``(3, ...)`` [mm].
        bulk: girth relative to the average leg.
    """
    far = torch.full_like(q[0], 1e3)
    first, second, girth, which = far, far, torch.ones_like(far), torch.zeros_like(far)
    low, high = float(q[2].min()), float(q[2].max())
    for number, levels in enumerate(BELLIES.values()):
        if low > levels[0][0] + 20 or high < levels[-1][0] - 20:
            continue
        distance, thin = _belly(q, levels, bulk)
        nearer = distance < first
        second = torch.where(nearer, first, torch.minimum(second, distance))
        girth = torch.where(nearer, thin, girth)
        which = torch.where(nearer, float(number), which)
        first = torch.minimum(first, distance)
    return Muscles(first, (second - first) / 2, girth, which)


def swell(q: Tensor, bellies: Muscles) -> Tensor:
    """Let bellies take the free space between them, except where fat keeps its place.

    Args:
        q: points of the standard knee, ``(3, ...)`` [mm].
        bellies: the bellies there.

    Returns:
        Signed distance [mm] to the swollen bellies; their planes stay where they were.
    """
    away = torch.sigmoid((q[2] - 40) / 6) + torch.sigmoid((-36 - q[2]) / 6)
    away = torch.maximum(away, 0.5 * torch.sigmoid((q[1] - 34) / 3))  # behind the joint they lie close, too
    fleshy = ((bellies.girth - TENDON_GIRTH) / 5).clamp(0, 1)
    fossa = ellipsoid(q, (3, 34, 36), (12, 13, 34))
    fossa = join(fossa, ellipsoid(q, (4, 40, -20), (5, 5, 34)), 4)
    prefemoral = ellipsoid(q, (0, -24, 62), (20, 12, 26))
    behind_femur = ellipsoid(q, (2, 16, 92), (16, 10, 40))
    fat = torch.minimum(torch.minimum(fossa, prefemoral), behind_femur)
    return torch.maximum(bellies.distance - 0.8 - 8.0 * away * fleshy, 0.7 - fat)


def _belly(q: Tensor, levels: tuple[Level, ...], bulk: float) -> tuple[Tensor, Tensor]:
    z = q[2]
    heights = [level[0] for level in levels]
    x, y, rx, ry = (_between(z, heights, [level[axis] for level in levels]) for axis in (1, 2, 3, 4))
    # Tendons keep their girth; bellies follow the muscularity of the leg.
    fleshy = ((torch.minimum(rx, ry) - TENDON_GIRTH) / 4).clamp(0, 1)
    rx, ry = (radius * (1 + (bulk - 1) * fleshy) for radius in (rx, ry))
    dx, dy = (q[0] - x) / rx, (q[1] - y) / ry
    level = (dx.square() + dy.square()).sqrt()
    slope = ((dx / rx).square() + (dy / ry).square()).sqrt().clamp_min(1e-6)
    inside = level * (level - 1) / slope
    inside = torch.where(level < 1e-3, -torch.minimum(rx, ry), inside)
    beyond = torch.maximum(z - heights[0], heights[-1] - z)
    # Rounded where the end meets the side, so that a swollen belly has no flat end.
    outside = (inside.clamp_min(0).square() + beyond.clamp_min(0).square()).sqrt()
    return outside + torch.maximum(inside, beyond).clamp_max(0), torch.minimum(rx, ry)


def _between(z: Tensor, heights: list[float], values: list[float]) -> Tensor:
    """Piecewise linear interpolation over descending heights, constant beyond the ends."""
    out = torch.full_like(z, values[0])
    for upper, lower, before, after in zip(heights, heights[1:], values, values[1:], strict=False):
        out = out + (after - before) * ((upper - z) / (upper - lower)).clamp(0, 1)
    return out
