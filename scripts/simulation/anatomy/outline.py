# SPDX-License-Identifier: Apache-2.0
"""The outline of the leg: the deep fascia around bones and muscles, and the skin over the fat upon it."""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.anatomy.shapes import capsule, ellipsoid, join, meet

_HULL = (
    # height z, centre x and y, half-axes along x and y [mm] of the fascia of an average leg, set by eye
    (160, 0.0, 8.0, 68.0, 66.0),
    (120, -2.0, 8.0, 63.0, 61.0),
    (90, -3.0, 9.0, 58.0, 56.0),
    (50, -2.0, 9.5, 51.0, 51.0),
    (20, -1.0, 10.0, 46.0, 46.0),
    (-5, 0.0, 12.5, 43.0, 45.0),
    (-30, 1.0, 18.5, 44.0, 46.0),
    (-60, 1.0, 22.5, 48.0, 46.5),
    (-100, 1.0, 22.0, 50.0, 45.5),
    (-160, 0.0, 20.0, 46.0, 42.0),
)
_SMOOTH = 11.0
"""Cross-sections are averaged over plus and minus this height [mm], so that the outline has no kinks."""


def fascia(q: Tensor, bulk: float = 1.0) -> Tensor:
    """Distance to the deep fascia [mm], negative inside.

    Args:
        q: points of the standard knee, ``(3, ...)`` [mm].
        bulk: girth of the muscles relative to the average leg.
    """
    x, y, z = q
    away = (z.abs() - 15).clamp(0, 45) / 45  # the joint itself is bone: muscularity shows above and below it
    girth = 1 + 0.8 * (bulk - 1) * away
    cx, cy, rx, ry = (_smooth(z, axis) for axis in (1, 2, 3, 4))
    rx, ry = rx * girth, ry * girth
    dx, dy = (x - cx) / rx, (y - cy) / ry
    # Between an ellipse and a rectangle: legs are fuller than ellipses.
    level = (dx.abs() ** 2.6 + dy.abs() ** 2.6 + 1e-9) ** (1 / 2.6)
    hull = (level - 1) * torch.minimum(rx, ry)
    # The shin's medial face lies bare under the skin.
    face = -0.75 * x - 0.66 * y - (24 + 22 * torch.sigmoid((z + 22) / 9) + 60 * torch.sigmoid((z - 30) / 8))
    hull = meet(hull, face, 8)
    hull = join(hull, ellipsoid(q, (1, -42, 27), (27, 23.5, 30)), 18)  # patella
    hull = join(hull, capsule(q, (1, -42, 62), (0, -30, 120), (15, 14)), 18)  # quadriceps tendon
    return join(hull, capsule(q, (1, -40, 8), (0, -24, -52), (15, 11)), 14)  # patellar tendon, tuberosity


def fat_thickness(q: Tensor, thickness: float, wave: Tensor) -> Tensor:
    """Subcutaneous fat under the skin [mm]: thin over patella and shin, thick on the medial and hind side.

    Args:
        q: points of the standard knee [mm].
        thickness: at the lateral side of the joint [mm].
        wave: smooth field of unit variance that varies it.
    """
    x, y, z = q
    front = torch.sigmoid((-y - 26) / 7) * torch.sigmoid((36 - x.abs()) / 7)
    shin = torch.sigmoid((-z - 28) / 8) * torch.sigmoid((-y + 6) / 8) * torch.sigmoid((12 - x) / 8)
    medial = torch.sigmoid((-x - 12) / 10)
    hind = torch.sigmoid((y - 30) / 10) * torch.sigmoid((z + 30) / 15)
    thigh = torch.sigmoid((z - 45) / 20)
    factor = 1 + 0.45 * medial + 0.25 * hind + 0.25 * thigh
    factor = factor * (1 - 0.60 * front) * (1 - 0.45 * shin) * (1 + 0.16 * wave)
    return (thickness * factor).clamp_min(0.8)


def _smooth(z: Tensor, column: int) -> Tensor:
    heights = [level[0] for level in _HULL]
    values = [level[column] for level in _HULL]
    out = torch.full_like(z, values[0])
    for upper, lower, before, after in zip(heights, heights[1:], values, values[1:], strict=False):
        # The average of a clamped ramp over a window, by its two ends and its middle.
        ramp = sum(((upper - z - shift) / (upper - lower)).clamp(0, 1) for shift in (-_SMOOTH, 0.0, _SMOOTH))
        out = out + (after - before) * ramp / 3
    return out
