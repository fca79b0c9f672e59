# SPDX-License-Identifier: Apache-2.0
"""Ligaments and tendons of the standard right knee, each reaching a little into the bones that hold it.

Attachments are those of textbook anatomy, placed by hand on the bones of this model; sizes are published ones (anterior
cruciate 31-38 mm long, patellar tendon 4-5 mm thick and about 28 mm wide).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from scripts.simulation.anatomy.bones import Bones
from scripts.simulation.anatomy.joint import STANDARD, JointShape
from scripts.simulation.anatomy.shapes import Ball, ball_hull, join, round_meet, strap, within

Knot = tuple[float, float, float]

ACL = (
    # Two bundles (x, y, z, radius), tibia to femur: footprint about 17 x 11 mm, centre at 43 % of the plateau's depth.
    ((-2.0, -10.0, -3.0, 3.4), (4.5, 8.0, 23.0, 2.6)),
    ((0.5, -3.5, -3.0, 3.4), (5.0, 7.0, 15.0, 2.8)),
)
PCL = (
    # Chain of balls from the medial condyle to the back of the tibia: hook-shaped in the sagittal plane.
    (-8.0, -7.0, 12.0, 5.2),
    (-5.0, 4.0, 14.5, 5.4),
    (-3.0, 13.0, 9.0, 5.2),
    (-2.0, 19.0, -3.0, 4.6),
    (-2.0, 20.0, -15.0, 3.6),
)


def _chain(q: Tensor, balls: tuple[Ball, ...], blend: float) -> Tensor:
    solid = ball_hull(q, balls[0], balls[1])
    for first, second in pairwise(balls[1:]):
        solid = join(solid, ball_hull(q, first, second), blend)
    return solid


def _streaks(solid: Tensor, across: Tensor, period: float, gap: Tensor | float) -> Tensor:
    """Split a solid into sheets of fibres: gaps of ``gap`` mm every ``period`` mm of ``across``."""
    to_gap = ((across / period) % 1 - 0.5).abs() * period
    return torch.maximum(solid, gap / 2 - to_gap)


def _cruciate_anterior(q: Tensor) -> Tensor:
    solid = join(ball_hull(q, *ACL[0]), ball_hull(q, *ACL[1]), 3)
    # Fibres fan out from the femur; sheets of fat and synovium lie between them.
    across = 0.8 * (q[1] + 6.0) - 0.55 * (q[2] + 3.0)
    return _streaks(solid, across, 2.7, 0.45)


def _sheet(hull: Tensor, offset: Tensor | float, half: float, *limits: Tensor) -> Tensor:
    """A sheet of thickness ``2 * half`` that runs ``offset`` mm over a surface, within limits."""
    return round_meet(min(half, 0.6), (hull - offset).abs() - half, *limits)


def _collateral_medial(q: Tensor, hull: Tensor) -> Tensor:
    x, y, z = q
    low = (0 - z) / 60
    middle = -8.0 + 1.0 * low
    half = 6.5 - 1.0 * low.clamp(0, 1)
    over = 0.75 + 0.8 * torch.exp(-((z + 1) / 9).square())  # it stands off the rim of the meniscus
    superficial = _sheet(hull, over, 0.9, (y - middle).abs() - half, x + 10, z - 32, -58 - z)
    deep = _sheet(hull, 0.6, 0.7, (y + 4).abs() - 9, x + 10, z - 12, -15 - z)
    return torch.minimum(superficial, deep)


def ligaments(q: Tensor, bones: Bones, joint: JointShape = STANDARD) -> dict[str, Tensor]:
    """Signed distances [mm] by the names of the structures, at points ``(3, ...)`` of the standard knee frame."""
    x, y, z = q
    lift = joint.patella_height
    sides = join(bones.femur, bones.tibia, 24)
    ready: dict[str, Tensor] = {
        "anterior_cruciate_ligament": within(q, (-6, -14, -7), (8, 12, 27), _cruciate_anterior),
        "posterior_cruciate_ligament": within(q, (-14, -13, -19), (3, 25, 21), lambda p: _chain(p, PCL, 4)),
        "medial_collateral_ligament": _collateral_medial(q, sides),
        "lateral_collateral_ligament": within(
            q, (28, -9, -26), (42, 25, 27), lambda p: ball_hull(p, (33.0, -4.0, 22.0, 2.6), (36.0, 19.0, -20.0, 2.2))
        ),
    }
    quadriceps = strap(q, (6, -51.5, 42 + lift), (8, -48, 170), (1, 0, 0), (16, 21), (4.0, 3.6), 3.0, bow=0.006)
    # Three layers with a little fat between them, which merge above the patella.
    across = y + 51.5 - 0.027 * (z - 42) + 0.8 * torch.sin(z / 21 + x / 17)
    ready["quadriceps_tendon"] = _streaks(quadriceps, across, 2.9, 0.24 * torch.sigmoid((z - 68 - lift) / 7))
    apex = (8, -57.5, 22 + lift)
    ready["patellar_tendon"] = strap(q, apex, (8, -22, -42), (1, 0, 0), (14.5, 12), (2.4, 2.6), 2.0, bow=-0.006)
    # Iliotibial band to Gerdy's tubercle, biceps to the fibular head, popliteus, retinacula.
    knots: tuple[Knot, ...] = ((37, -12, 170), (35.5, -17, 40), (34.5, -17.5, 8), (27, -18, -16))
    band = strap(q, knots[0], knots[1], (0, 1, 0), (11, 10), (1.2, 1.2))
    band = torch.minimum(band, strap(q, knots[1], knots[2], (0, 1, 0), (10, 8), (1.2, 1.3)))
    band = torch.minimum(band, strap(q, knots[2], knots[3], (0, 1, 0), (8, 6), (1.3, 1.7)))
    biceps = ball_hull(q, (37.0, 22.0, -22.0, 2.4), (34.0, 32.0, 45.0, 3.6))
    popliteus = _chain(q, ((31.0, -2.0, 11.0, 2.4), (27.0, 17.0, 1.0, 2.6), (12.0, 24.0, -16.0, 2.6)), 2)
    up = 29 + lift
    medial: tuple[Knot, ...] = ((-6, -55, up), (-19, -39.5, 29), (-30, -26.5, 29), (-36, -10, 29))
    lateral: tuple[Knot, ...] = ((26, -52, up), (31, -38, 29), (33.5, -20, 29))
    retinacula = torch.full_like(x, 1e3)
    for path in (medial, lateral):
        for first, second in pairwise(path):
            retinacula = torch.minimum(retinacula, strap(q, first, second, (0, 0, 1), (12, 12), (0.6, 0.6), 0.5))
    ready["tendon"] = torch.minimum(torch.minimum(band, biceps), torch.minimum(popliteus, retinacula))
    return ready
