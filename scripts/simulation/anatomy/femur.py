# SPDX-License-Identifier: Apache-2.0
"""The distal femur of the standard right knee, from circles, planes and balls.

The numbers are dimensions of this model, found by fitting its surface to the bone in one label map of a real right knee
(a small adult: 75 mm between the epicondyles; github.com/gattia/pymskt, MIT), brought to the standard frame by
landmarks without scaling. Beyond the map's field of view the shaft keeps published girths.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scripts.simulation.anatomy.joint import JointShape
from scripts.simulation.anatomy.shapes import (
    Ball,
    Disc,
    cut,
    disc_hull,
    join,
    round_meet,
)


@dataclass(frozen=True)
class Condyle:
    """A condyle: a profile in the sagittal plane, swept along x and rounded at its edges.

    Args:
        posterior: circle (y, z, radius) of the posterior condyle.
        distal: circle (y, z, radius) of the flatter weight-bearing part.
        middle: x [mm] of the middle plane at y = 0.
        splay: growth of that x per mm towards the back.
        half: half the width [mm].
        edge: radius [mm] of the edges, which is the curvature seen in coronal cuts.
    """

    posterior: Disc
    distal: Disc
    middle: float
    splay: float
    half: float
    edge: float


@dataclass(frozen=True)
class Trochlea:
    """The groove for the patella: a circular floor, and two facets that rise from it.

    Args:
        floor: circle (y, z, radius) of the deepest line.
        middle: x [mm] of the groove.
        medial: height [mm] of the medial ridge over the floor.
        lateral: height [mm] of the lateral ridge over the floor.
        spread: half the distance between the ridges, about, [mm].
        half: half the width [mm] of the whole.
        edge: radius [mm] of its edges.
    """

    floor: Disc
    middle: float
    medial: float
    lateral: float
    spread: float
    half: float
    edge: float


@dataclass(frozen=True)
class Metaphysis:
    """The flare: four walls that move apart towards the joint. Each wall is (place in the shaft, flare) in mm.

    Args:
        medial: x of the medial wall.
        lateral: x of the lateral wall.
        front: y of the anterior wall.
        back: y of the posterior wall.
        reach: height [mm] over which a flare falls by a factor of e, of the side walls and of front and back.
        lean: shift of x and of y per mm of height: the valgus and the bow of the shaft.
        chamfer: how far the medial and the lateral wall move outwards per mm towards the back.
        edge: radius [mm] of the edges between the walls.
        bottom: height z [mm] of the lower end.
    """

    medial: tuple[float, float]
    lateral: tuple[float, float]
    front: tuple[float, float]
    back: tuple[float, float]
    reach: tuple[float, float]
    lean: tuple[float, float]
    chamfer: tuple[float, float]
    edge: float
    bottom: float


@dataclass(frozen=True)
class Notch:
    """The intercondylar notch: a tunnel with an arched roof that rises towards the back (Blumensaat's line).

    Args:
        roof: height z [mm] of the roof at y = 0.
        rise: growth of that height per mm towards the back.
        middle: x [mm] of the middle plane.
        half: half the width [mm] at y = 0.
        splay: growth of the half width per mm towards the back.
        edge: radius [mm] of the arch.
    """

    roof: float
    rise: float
    middle: float
    half: float
    splay: float
    edge: float


@dataclass(frozen=True)
class Femur:
    """Dimensions [mm] of the femur; the epicondyles are balls (x, y, z, radius)."""

    medial: Condyle = Condyle(
        posterior=(-0.82, 19.26, 18.3),
        distal=(-7.43, 20.99, 21.463),
        middle=-21.43,
        splay=-0.049,
        half=14.13,
        edge=11.0,
    )
    lateral: Condyle = Condyle(
        posterior=(-0.86, 19.17, 18.24),
        distal=(-13.827, 19.72, 17.028),
        middle=18.25,
        splay=-0.036,
        half=12.74,
        edge=10.0,
    )
    trochlea: Trochlea = Trochlea(
        floor=(-19.17, 27.92, 18.51), middle=2.08, medial=6.69, lateral=9.58, spread=12.67, half=24.08, edge=11.71
    )
    metaphysis: Metaphysis = Metaphysis(
        medial=(-7.08, -22.81),
        lateral=(15.22, 11.09),
        front=(-36.44, -0.16),
        back=(-8.33, 3.04),
        reach=(57.26, 12.19),
        lean=(0.086, -0.0),
        chamfer=(0.547, 0.25),
        edge=11.0,
        bottom=20.35,
    )
    notch: Notch = Notch(roof=41.02, rise=2.57, middle=-3.7, half=6.31, splay=-0.041, edge=8.78)
    medial_epicondyle: Ball = (-31.37, -6.67, 32.67, 6.3)
    lateral_epicondyle: Ball = (28.57, -3.88, 22.67, 6.23)


FEMUR = Femur()


def _condyle(x: Tensor, y: Tensor, z: Tensor, c: Condyle) -> Tensor:
    side = (x - c.middle - c.splay * y).abs() - c.half
    return round_meet(c.edge, disc_hull(y, z, c.posterior, c.distal), side)


def _trochlea(x: Tensor, y: Tensor, z: Tensor, t: Trochlea) -> Tensor:
    u = x - t.middle
    ridge = t.medial + (t.lateral - t.medial) * torch.sigmoid(u / 4)
    facet = ridge * (1 - torch.exp(-(u / t.spread).square() * 0.7))
    profile = ((y - t.floor[0]).square() + (z - t.floor[1]).square() + 1e-9).sqrt() - t.floor[2] - facet
    return round_meet(t.edge, 0.93 * profile, u.abs() - t.half)  # facets lie at about 22 degrees to the axis


def _metaphysis(x: Tensor, y: Tensor, z: Tensor, m: Metaphysis) -> Tensor:
    up = (z - 40).clamp_max(120)
    side, depth = torch.exp(-up / m.reach[0]), torch.exp(-up / m.reach[1])
    u, v = x - m.lean[0] * up, y - m.lean[1] * up
    back = v - m.back[0]
    fade = back * torch.exp(-up.clamp_min(0) / 40)  # the section is a trapezium above the condyles, round in the shaft
    medial = (m.medial[0] + m.medial[1] * side - m.chamfer[0] * fade - u) * 0.9
    lateral = (u - m.lateral[0] - m.lateral[1] * side - m.chamfer[1] * fade) * 0.9
    walls = (
        torch.maximum(medial, lateral),
        torch.maximum(m.front[0] + m.front[1] * depth - v, back - m.back[1] * depth),
    )
    return round_meet(m.edge, *walls, m.bottom - z)


def notch(q: Tensor, shape: Notch) -> Tensor:
    """Distance [mm] to the tunnel between the condyles, negative inside it."""
    x, y, z = q
    roof = (z - shape.roof - shape.rise * y) / (1 + shape.rise**2) ** 0.5
    return round_meet(shape.edge, roof, (x - shape.middle).abs() - shape.half - shape.splay * y)


def fit_to(joint: JointShape, shape: Femur = FEMUR) -> Femur:
    """The femur of one joint."""
    groove, tunnel = shape.trochlea, shape.notch
    groove = replace(
        groove,
        medial=groove.medial * joint.trochlear_depth,
        lateral=groove.lateral * joint.trochlear_depth,
    )
    return replace(
        shape,
        trochlea=groove,
        notch=replace(tunnel, half=tunnel.half + joint.notch_width / 2),
    )


def femur(q: Tensor, shape: Femur = FEMUR) -> Tensor:
    """Signed distance [mm] to the femur at points ``(3, ...)`` of the standard knee frame."""
    x, y, z = q
    solid = join(_condyle(x, y, z, shape.medial), _condyle(x, y, z, shape.lateral), 4)
    solid = join(solid, _trochlea(x, y, z, shape.trochlea), 5)
    solid = join(solid, _metaphysis(x, y, z, shape.metaphysis), 8)
    for bump in (shape.medial_epicondyle, shape.lateral_epicondyle):
        ball = ((x - bump[0]).square() + (y - bump[1]).square() + (z - bump[2]).square() + 1e-9).sqrt() - bump[3]
        solid = join(solid, ball, 8)
    return cut(solid, notch(q, shape.notch), 3)
