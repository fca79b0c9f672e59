# SPDX-License-Identifier: Apache-2.0
"""The menisci of the standard right knee: wedges that fill the cleft between the condyles and the plateau.

Their outlines are fitted to the real label map that `femur` names.
"""

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
        height: of the rim over the bony plateau [mm] at y = 0, and its growth per mm towards the back.
        floor: how far [mm] the rim hangs below the plateau.
        gap: film [mm] between meniscus and cartilage.
        edge: radius [mm] of the edges.
    """

    outer: tuple[float, float, float, float]
    inner: tuple[float, float, float, float]
    opening: tuple[float, float]
    height: tuple[float, float]
    floor: float
    gap: float = 0.1
    edge: float = 0.8


MEDIAL = Meniscus(
    outer=(-17.766, -5.5, 18.4, 19.5),
    inner=(-1.714, -7.7, 26.292, 13.0),
    opening=(-9.454, -0.109),
    height=(7.2, 0.06),
    floor=0.6,
    gap=0.1,
    edge=0.8,
)
LATERAL = Meniscus(
    outer=(16.639, 0.72, 16.509, 15.613),
    inner=(10.36, 1.018, 12.522, 6.548),
    opening=(6.473, -0.16),
    height=(7.2, 0.15),
    floor=0.2,
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
    free = free - (1 - width) * (free - rim)  # moves the free edge along the width
    outward = 1.0 if shape.outer[0] > 0 else -1.0
    opening = (shape.opening[0] + shape.opening[1] * y - x) * outward
    over = z - height
    walls = round_meet(shape.edge, rim, -free, opening, over - shape.height[0] - shape.height[1] * y)
    return torch.maximum(
        torch.maximum(walls, -shape.floor - over),
        shape.gap - torch.minimum(above, below),
    )


def menisci(q: Tensor, bones: Bones, cartilage: Cartilage, joint: JointShape = STANDARD) -> tuple[Tensor, Tensor]:
    """Signed distances [mm] to the medial and the lateral meniscus at points ``(3, ...)`` of the standard frame."""
    above = torch.minimum(bones.femur, cartilage.femoral)
    below = torch.minimum(torch.minimum(bones.tibia, cartilage.medial_tibial), cartilage.lateral_tibial)
    medial, lateral = (
        meniscus(q, shape, above, below, bones.plateau, joint.meniscus_width) for shape in (MEDIAL, LATERAL)
    )
    return medial, lateral
