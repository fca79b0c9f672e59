# SPDX-License-Identifier: Apache-2.0
"""The bones of the standard right knee: signed distances [mm], negative inside.

Frame: points ``q`` ``(3, ...)`` in mm, x to the lateral side, y to the back, z to the head, origin between the tibial
spines; the femoral condyles reach down to about z = 0. For the source of the dimensions see `femur`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.anatomy.femur import femur, fit_to
from scripts.simulation.anatomy.joint import STANDARD, JointShape
from scripts.simulation.anatomy.shapes import (
    Ball,
    Disc,
    ball_hull,
    cut,
    disc_hull,
    join,
    meet,
    round_meet,
    within,
)
from scripts.simulation.anatomy.tibia import plateau, tibia


@dataclass(frozen=True)
class Patella:
    """Dimensions of the patella.

    Args:
        base: discs (x, z, radius) of the medial and lateral corner of the outline seen from the front.
        top: height z [mm] of the base at y = -50, and its rise per mm towards the back.
        apex: disc (x, z, radius) of the lower pole, which bears no cartilage.
        front: ball (x, y, z, radius) that bounds it in front.
        ridge: x, y [mm] of the median ridge of the back, at z = 30.
        medial: slope of the medial facet, mm forwards per mm to the side.
        lateral: slope of the lateral facet.
        tilt: shift of the ridge to the front per mm of height.
        bevel: height z [mm] below which the back leans forwards to the apex, and forwards shift per mm.
        edge: radius [mm] of the edges.
    """

    base: tuple[Disc, Disc] = ((5.0, 33.2, 15.6), (18.9, 32.0, 15.4))
    top: tuple[float, float] = (50.5, 0.5)
    apex: Disc = (8.18, 16.2, 6.4)
    front: Ball = (2.11, -20.71, 32.1, 40.68)
    ridge: tuple[float, float] = (1.76, -43.2)
    medial: float = 0.598
    lateral: float = 0.152
    tilt: float = 0.056
    bevel: tuple[float, float] = (18.5, 1.1)
    edge: float = 4.5


@dataclass(frozen=True)
class Fibula:
    """Dimensions of the fibula: balls (x, y, z, radius) of its head, neck, shaft and the tip of the head.

    The balls of the lower shaft were out of view; the shaft goes on at the published 12 mm of diameter.
    """

    head: Ball = (35.08, 18.19, -27.21, 8.4)
    neck: Ball = (28.12, 18.15, -29.63, 9.06)
    shaft: Ball = (22.5, 24.38, -62.06, 4.81)
    tip: Ball = (31.85, 25.36, -16.36, 4.61)
    end: Ball = (22.0, 27.0, -190.0, 6.0)


PATELLA, FIBULA = Patella(), Fibula()


@dataclass(frozen=True)
class Bones:
    """Signed distances [mm] ``(...)`` to the bones, and the height z [mm] of the bony plateau at each x and y."""

    femur: Tensor
    tibia: Tensor
    patella: Tensor
    fibula: Tensor
    plateau: Tensor


def facets(q: Tensor, shape: Patella = PATELLA) -> Tensor:
    """Signed distance [mm] to the back of the patella, negative in front of it: two facets that meet at the ridge."""
    x, y, z = q
    back = y - shape.ridge[1] + shape.tilt * (z - 30)
    side = x - shape.ridge[0]
    return 0.93 * meet(back - shape.medial * side, back + shape.lateral * side, 3)


def patella(q: Tensor, shape: Patella = PATELLA) -> Tensor:
    """Signed distance [mm] to the patella at points ``(3, ...)``."""
    x, y, z = q
    outline = torch.minimum(
        disc_hull(x, z, shape.base[0], shape.apex),
        disc_hull(x, z, shape.base[1], shape.apex),
    )
    outline = torch.minimum(outline, disc_hull(x, z, *shape.base))
    top = (z - shape.top[0] - shape.top[1] * (y + 50)) / (1 + shape.top[1] ** 2) ** 0.5
    outline = round_meet(shape.edge, outline, top)
    px, py, pz, radius = shape.front
    front = ((x - px).square() + (y - py).square() + (z - pz).square() + 1e-9).sqrt() - radius
    below = (y - shape.ridge[1] - shape.bevel[1] * (z - shape.bevel[0])) / (1 + shape.bevel[1] ** 2) ** 0.5
    return round_meet(shape.edge, outline, front, meet(facets(q, shape), below, 5))


def fibula(q: Tensor, shape: Fibula = FIBULA) -> Tensor:
    """Signed distance [mm] to the fibula at points ``(3, ...)``."""
    head = join(ball_hull(q, shape.head, shape.neck), ball_hull(q, shape.head, shape.tip), 3)
    shaft = join(ball_hull(q, shape.neck, shape.shaft), ball_hull(q, shape.shaft, shape.end), 3)
    return join(head, shaft, 4)


def bones(q: Tensor, joint: JointShape = STANDARD) -> Bones:
    """Signed distances to all bones at points ``(3, ...)`` of the standard knee frame."""
    height = plateau(q)
    of_tibia = tibia(q, height)
    raised = torch.stack((q[0], q[1], q[2] - joint.patella_height)) if joint.patella_height else q
    of_femur = femur(q, fit_to(joint))
    # Where two bones would come close, one of them yields and a joint space is left.
    return Bones(
        femur=of_femur,
        tibia=of_tibia,
        patella=cut(within(raised, (-14, -63, 9), (34, -38, 55), patella), of_femur - 2.0, 2),
        fibula=cut(within(q, (14, 7, -200), (46, 35, -8), fibula), of_tibia - 1.5, 2),
        plateau=height,
    )
