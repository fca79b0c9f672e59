# SPDX-License-Identifier: Apache-2.0
"""The menisci of the standard right knee: wedges that fill the cleft between the condyles and the plateau."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.anatomy.bones import Bones
from scripts.simulation.anatomy.cartilage import Cartilage
from scripts.simulation.anatomy.joint import STANDARD, JointShape
from scripts.simulation.anatomy.shapes import round_meet


@dataclass(frozen=True)
class Meniscus:
    """Outline of one meniscus, seen from above: what lies between two ellipses, open towards the spines.

    Args:
        outer: centre x, y and half axes [mm] of the rim.
        inner: centre x, y and half axes [mm] of the free edge.
        opening: x [mm] where the horns end at y = 0, and its change per mm towards the back.
        height: of the rim over the bony plateau [mm].
        gap: film [mm] between meniscus and cartilage.
        edge: radius [mm] of the edges.
    """

    outer: tuple[float, float, float, float]
    inner: tuple[float, float, float, float]
    opening: tuple[float, float]
    height: float
    gap: float = 0.1
    edge: float = 0.8


MEDIAL = Meniscus(
    outer=(-17.93, -5.27, 18.21, 19.0),
    inner=(-8.32, -8.22, 19.26, 12.68),
    opening=(-9.9, -0.06),
    height=7.98,
    gap=0.1,
    edge=0.8,
)
LATERAL = Meniscus(
    outer=(16.72, 0.76, 16.28, 15.61),
    inner=(10.76, 1.02, 12.13, 6.53),
    opening=(6.77, -0.18),
    height=11.84,
    gap=0.1,
    edge=0.8,
)


def _ellipse(x: Tensor, y: Tensor, oval: tuple[float, float, float, float]) -> Tensor:
    u, v = (x - oval[0]) / oval[2], (y - oval[1]) / oval[3]
    level = (u.square() + v.square() + 1e-6).sqrt()
    slope = ((u / oval[2]).square() + (v / oval[3]).square() + 1e-6).sqrt()
    return level * (level - 1) / slope


def meniscus(
    q: Tensor,
    shape: Meniscus,
    above: Tensor,
    below: Tensor,
    height: Tensor,
    width: float = 1.0,
) -> Tensor:
    """Signed distance [mm] to one meniscus.

    Args:
        q: points ``(3, ...)`` [mm].
        shape: its outline.
        above: distance [mm] to the femur with its cartilage.
        below: distance [mm] to the tibia with its cartilage.
        height: z [mm] of the bony plateau.
        width: distance between rim and free edge, times that of the outline.
    """
    x, y, z = q
    rim, free = _ellipse(x, y, shape.outer), _ellipse(x, y, shape.inner)
    free = free + (1 - width) * (free - rim)  # moves the free edge along the width
    outward = 1.0 if shape.outer[0] > 0 else -1.0
    opening = (shape.opening[0] + shape.opening[1] * y - x) * outward
    walls = round_meet(shape.edge, rim, -free, opening, z - height - shape.height)
    return torch.maximum(
        torch.maximum(walls, height - 2 - z), shape.gap - torch.minimum(above, below)
    )


def menisci(
    q: Tensor, bones: Bones, cartilage: Cartilage, joint: JointShape = STANDARD
) -> tuple[Tensor, Tensor]:
    """Signed distances [mm] to the medial and the lateral meniscus at points ``(3, ...)`` of the standard frame."""
    above = torch.minimum(bones.femur, cartilage.femoral)
    below = torch.minimum(
        torch.minimum(bones.tibia, cartilage.medial_tibial), cartilage.lateral_tibial
    )
    medial, lateral = (
        meniscus(q, shape, above, below, bones.plateau, joint.meniscus_width)
        for shape in (MEDIAL, LATERAL)
    )
    return medial, lateral
