# SPDX-License-Identifier: Apache-2.0
"""The proximal tibia of the standard right knee, from ellipses, planes and balls.

Its numbers have the same source as those of the femur.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.anatomy.shapes import Ball, ball_hull, join, round_meet


@dataclass(frozen=True)
class Lobe:
    """A condyle of the tibia: an elliptic column that tapers downwards.

    Args:
        centre: x, y [mm].
        radii: along x, y [mm], at the joint.
        taper: by how much the radii shrink over 30 mm of depth, as a share.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    taper: float


@dataclass(frozen=True)
class Surface:
    """One side of the plateau: a paraboloid.

    Args:
        height: z [mm] at its centre.
        centre: x, y [mm].
        curve: curvature [1/mm] along x and along y, positive where it is a dish.
    """

    height: float
    centre: tuple[float, float]
    curve: tuple[float, float]


@dataclass(frozen=True)
class Spine:
    """An intercondylar tubercle: top (x, y), height over the plateau, and width and length [mm]."""

    top: tuple[float, float]
    height: float
    size: tuple[float, float]


@dataclass(frozen=True)
class Shaft:
    """A three-sided shaft.

    Args:
        axis: x, y [mm] of the axis.
        walls: distance [mm] from the axis of the wall that faces forwards and to the medial side, of the lateral wall,
            and of the one at the back.
        turn: directions in which these walls face, as angles [rad] from the lateral side towards the back.
        edge: softness [mm] of the edges.
    """

    axis: tuple[float, float]
    walls: tuple[float, float, float]
    turn: tuple[float, float, float]
    edge: float


@dataclass(frozen=True)
class Tibia:
    """Dimensions [mm] of the tibia; the tuberosity is the hull of two balls (x, y, z, radius)."""

    medial: Lobe = Lobe(centre=(-9.5, -2.69), radii=(24.27, 23.87), taper=0.646)
    lateral: Lobe = Lobe(centre=(16.91, 0.19), radii=(19.58, 20.6), taper=1.036)
    medial_surface: Surface = Surface(height=-6.012, centre=(-19.221, 4.681), curve=(0.038, 0.007))
    lateral_surface: Surface = Surface(height=-5.092, centre=(13.752, 1.324), curve=(0.008, -0.004))
    medial_spine: Spine = Spine(top=(-5.55, 3.677), height=2.947, size=(1.706, 12.075))
    lateral_spine: Spine = Spine(top=(2.273, 4.226), height=4.844, size=(5.302, 5.375))
    fossa: Spine = Spine(top=(-5.712, 14.844), height=-7.128, size=(3.517, 4.99))
    shaft: Shaft = Shaft(
        axis=(-1.24, -7.18),
        walls=(11.43, 13.63, 17.37),
        turn=(-2.127, 0.074, 1.965),
        edge=6.0,
    )
    tuberosity: tuple[Ball, Ball] = (
        (10.06, -9.76, -26.63, 17.34),
        (5.81, -11.35, -47.99, 11.68),
    )
    rim: float = 6.0


TIBIA = Tibia()


def _bump(x: Tensor, y: Tensor, spine: Spine) -> Tensor:
    return spine.height * torch.exp(
        -0.5 * (((x - spine.top[0]) / spine.size[0]).square() + ((y - spine.top[1]) / spine.size[1]).square())
    )


def plateau(q: Tensor, shape: Tibia = TIBIA) -> Tensor:
    """Height z [mm] of the bony plateau at the x and y of points ``(3, ...)``."""
    x, y, _ = q
    sides = []
    for side in (shape.medial_surface, shape.lateral_surface):
        u, v = x - side.centre[0], y - side.centre[1]
        sides.append(side.height + 0.5 * (side.curve[0] * u.square() + side.curve[1] * v.square()).clamp(-9, 9))
    medial, lateral = sides
    height = medial + (lateral - medial) * torch.sigmoid(x / 3)
    for bump in (shape.medial_spine, shape.lateral_spine, shape.fossa):
        height = height + _bump(x, y, bump)
    return height


def _lobe(x: Tensor, y: Tensor, depth: Tensor, lobe: Lobe) -> Tensor:
    size = 1 - lobe.taper * depth
    u, v = (x - lobe.centre[0]) / lobe.radii[0], (y - lobe.centre[1]) / lobe.radii[1]
    level = (u.square() + v.square() + 1e-6).sqrt()
    slope = ((u / lobe.radii[0]).square() + (v / lobe.radii[1]).square() + 1e-6).sqrt()
    return level * (level - size) / slope


def tibia(q: Tensor, height: Tensor, shape: Tibia = TIBIA) -> Tensor:
    """Signed distance [mm] to the tibia at points ``(3, ...)``, given the height of its `plateau` there."""
    x, y, z = q
    depth = ((-z - 13) / 30).clamp(0, 3)
    lobes = join(_lobe(x, y, depth, shape.medial), _lobe(x, y, depth, shape.lateral), 6)
    s = shape.shaft
    walls = [
        (x - s.axis[0]) * torch.as_tensor(turn).cos() + (y - s.axis[1]) * torch.as_tensor(turn).sin() - wall
        for turn, wall in zip(s.turn, s.walls, strict=True)
    ]
    shaft = s.edge * torch.logsumexp(torch.stack(walls) / s.edge, 0)
    solid = join(join(lobes, shaft, 10), ball_hull(q, *shape.tuberosity), 8)
    return round_meet(shape.rim, solid, 0.9 * (z - height))
