# SPDX-License-Identifier: Apache-2.0
"""The solids of the standard right knee: bones, muscles, fatty spaces, outline. Points and distances in mm."""

from __future__ import annotations

import torch

from scripts.simulation.anatomy.shapes import capsule, cut, ellipsoid, join, meet
from scripts.simulation.old_parameters import KneeParameters

MUSCLES = (
    # start, end, radii, flat [mm in the knee frame]: vastus medialis and lateralis, biceps, semimembranosus, sartorius,
    # the two heads of gastrocnemius, popliteus.
    ((-31, -14, 22), (-24, -14, 140), (9, 24), (1, 1, 1)),
    ((35, -12, 40), (26, -10, 140), (8, 22), (1, 1, 1)),
    ((33, 26, 4), (26, 36, 140), (5, 17), (1, 1, 1)),
    ((-25, 33, 8), (-20, 38, 140), (6, 18), (1, 1, 1)),
    ((-38, 28, -4), (-36, 22, 140), (4, 9), (1, 0.6, 1)),
    ((-19, 32, 26), (-21, 42, -150), (6, 23), (0.8, 1, 1)),
    ((20, 32, 24), (20, 42, -150), (6, 20), (0.8, 1, 1)),
    ((22, 20, -8), (-8, 21, -52), (5, 9), (0.6, 1, 0.7)),
)


def bones(q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Distances [mm] to femur, tibia, patella and fibula, and the height z [mm] of the tibial plateau."""
    x, y, z = q
    # Femur: a shaft that flares, two condyles of decreasing radius, a trochlea with a groove, the notch.
    flare = torch.sigmoid((52 - z) / 8)
    shaft = torch.sqrt((x / (13.5 + 21 * flare)) ** 2 + ((y + 8 * (1 - flare) + 3) / (13.5 + 9 * flare)) ** 2) - 1
    femur = torch.maximum(shaft * (13.5 + 9 * flare), 27 - z)
    for side, down in ((-1, 20.5), (1, 21.0)):
        front = ellipsoid(q, (side * 21.0, -5, down + 1.5), (13.5, 27, down + 1.5))
        back = ellipsoid(q, (side * 22.5, 15, down - 0.5), (12.0, 18.5, down - 1.5))
        femur = join(femur, join(front, back, 6), 6)
    trochlea = ellipsoid(q, (0, -13, 27), (28, 17, 19))
    femur = join(femur, trochlea, 6)
    femur = cut(femur, capsule(q, (0, -40, 60), (0, -36, -10), (9, 9)), 5)
    femur = cut(femur, capsule(q, (0, -2, -8), (0, 34, 14), (9.0, 10.5)), 4)
    # Tibia: plateau with posterior slope and spines, metaphysis tapering to the shaft, tuberosity.
    spines = 6.5 * (
        torch.exp(-(((x - 5) / 3.8) ** 2) - ((y - 4) / 7) ** 2)
        + torch.exp(-(((x + 5) / 3.8) ** 2) - ((y - 2) / 8) ** 2)
    )
    dish = -1.2 * torch.exp(-(((x.abs() - 21) / 9) ** 2) - ((y - 3) / 14) ** 2)
    plateau = -4.6 - 0.10 * (y - 3) + spines + dish
    depth = ((-z - 6) / 30).clamp_min(0)
    taper = torch.exp(-(depth**1.4))
    broad, deep = 13.5 + 23.5 * taper, 15 + 10 * taper
    body = torch.sqrt((x / broad) ** 2 + ((y - 2 - 1.5 * taper + 4 * (1 - taper)) / deep) ** 2) - 1
    tibia = meet(body * deep, z - plateau, 3)
    tibia = join(tibia, ellipsoid(q, (0, -20, -36), (11, 9, 16)), 6)
    # Patella with its posterior ridge, fibular head and shaft.
    patella = meet(ellipsoid(q, (1, -50.5, 30), (22, 11, 20.5)), 0.28 * x.abs() - (-y - 39), 3)
    fibula = join(ellipsoid(q, (33, 21, -21), (8.5, 9, 10)), capsule(q, (33, 21, -22), (31, 17, -160), (6, 6.5)), 6)
    return femur, tibia, patella, fibula, plateau


def fat_zone(q: torch.Tensor) -> torch.Tensor:
    """Distance to the fatty spaces: Hoffa's pad, the sides of the joint, popliteal fossa, prefemoral pad."""
    zone = ellipsoid(q, (0, -26, 4), (38, 30, 36))
    zone = join(zone, ellipsoid(q, (-36, 0, -2), (12, 34, 24)), 5)
    zone = join(zone, ellipsoid(q, (37, -2, 4), (11, 30, 28)), 5)
    zone = join(zone, ellipsoid(q, (1, 36, 34), (13, 17, 40)), 5)
    zone = join(zone, ellipsoid(q, (0, -21, 62), (17, 7, 24)), 3)
    return join(zone, ellipsoid(q, (-18, -22, -60), (18, 12, 50)), 5)


def outline(q: torch.Tensor, p: KneeParameters, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances [mm] to the skin and to the deep fascia that wraps bones and muscles."""
    x, y, z = q
    bulk = p.muscle_bulk
    thigh, calf = torch.sigmoid((z - 45) / 20), torch.sigmoid((-45 - z) / 20)
    half_x = 40 + 15 * bulk * thigh + 4 * bulk * calf
    half_y = 42 + 11 * bulk * thigh + 5 * bulk * calf
    middle = 4 - 2 * thigh + 9 * calf
    level = torch.sqrt((x / half_x) ** 2 + ((y - middle) / half_y) ** 2)
    fascia = (level - 1) * torch.minimum(half_x, half_y)
    fascia = join(fascia, ellipsoid(q, (1, -40, 26), (31, 26, 36)), 16)
    fascia = join(fascia, capsule(q, (1, -40, 10), (0, -24, -50), (18, 14)), 12)
    front = torch.sigmoid((-y - 30) / 8) * torch.sigmoid((34 - x.abs()) / 8)
    thickness = p.fat_thickness * (1 - 0.62 * front) * (1 + 0.18 * wave + 0.25 * thigh - 0.1 * calf) + 1.5
    thickness = thickness * (1 + 0.35 * torch.sigmoid((-x - 10) / 10) * torch.sigmoid((y + 20) / 12))
    return fascia - thickness.clamp_min(2.0), fascia
