# SPDX-License-Identifier: Apache-2.0
"""The proximal tibia of the standard right knee, from ellipses, planes and balls."""

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
        slope: rise of z per mm towards the back (negative: posterior slope).
        curve: curvature [1/mm] along x and along y, positive where it is a dish.
    """

    height: float
    centre: tuple[float, float]
    slope: float
    curve: tuple[float, float]


@dataclass(frozen=True)
class Spine:
    """An intercondylar tubercle: top (x, y), height over the plateau, and width and length [mm]."""

    top: tuple[float, float]
    height: float
    size: tuple[float, float]


@dataclass(frozen=True)
class Shaft:
    """A three-sided shaft; each wall is (distance from the axis in the shaft, flare towards the joint) in mm.

    Args:
        axis: x, y [mm] of the axis.
        medial: wall that faces forwards and to the medial side.
        lateral: wall that faces to the lateral side and forwards.
        back: wall that faces backwards.
        turn: directions in which the walls face, as angles [rad] from the lateral towards the back.
        reach: depth [mm] over which the flare falls by a factor of e.
        edge: radius [mm] of the edges.
    """

    axis: tuple[float, float]
    medial: tuple[float, float]
    lateral: tuple[float, float]
    back: tuple[float, float]
    turn: tuple[float, float, float]
    reach: float
    edge: float


@dataclass(frozen=True)
class Tibia:
    """Dimensions [mm] of the tibia; the tuberosity is the hull of two balls (x, y, z, radius)."""

    medial: Lobe = Lobe(centre=(-10.62, -3.47), radii=(23.73, 21.69), taper=0.557)
    lateral: Lobe = Lobe(centre=(3.72, -3.35), radii=(33.57, 20.0), taper=0.529)
    middle: Lobe = Lobe(centre=(-5.68, -0.09), radii=(8.33, 6.5), taper=-0.549)
    medial_surface: Surface = Surface(height=-5.971, centre=(-19.194, 4.747), slope=0.004, curve=(0.036, 0.007))
    lateral_surface: Surface = Surface(height=-5.057, centre=(14.609, 4.085), slope=-0.015, curve=(0.008, -0.004))
    medial_spine: Spine = Spine(top=(-5.574, 2.507), height=3.188, size=(1.702, 10.902))
    lateral_spine: Spine = Spine(top=(2.368, 4.217), height=4.749, size=(5.161, 5.288))
    fossa: Spine = Spine(top=(-5.705, 14.936), height=-6.828, size=(3.615, 4.934))
    shaft: Shaft = Shaft(
        axis=(-0.89, -10.73),
        medial=(8.65, -0.76),
        lateral=(1.68, 8.38),
        back=(-0.87, 23.0),
        turn=(-2.525, -0.628, 1.666),
        reach=41.03,
        edge=12.0,
    )
    tuberosity: tuple[Ball, Ball] = ((9.98, -13.43, -28.73, 15.06), (6.35, -15.92, -57.51, 8.06))
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
        sides.append(
            side.height + side.slope * v + 0.5 * (side.curve[0] * u.square() + side.curve[1] * v.square()).clamp(-9, 9)
        )
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
    lobes = join(lobes, _lobe(x, y, depth, shape.middle), 10)
    s = shape.shaft
    flare = torch.exp((z + 20).clamp(-150, 20) / s.reach)
    walls = []
    for angle, wall in zip(s.turn, (s.medial, s.lateral, s.back), strict=True):
        turn = torch.as_tensor(angle)
        across = (x - s.axis[0]) * turn.cos() + (y - s.axis[1]) * turn.sin()
        walls.append(across - wall[0] - wall[1] * flare)
    shaft = round_meet(s.edge, *walls)
    solid = join(join(lobes, shaft, 10), ball_hull(q, *shape.tuberosity), 8)
    return round_meet(shape.rim, solid, 0.9 * (z - height))
