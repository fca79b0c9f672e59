# SPDX-License-Identifier: Apache-2.0
"""Joint fluid in its real places: film, crevices, suprapatellar pouch, gutters, posterior recesses."""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.anatomy.cartilage import Cartilage
from scripts.simulation.anatomy.shapes import capsule, ellipsoid, join, meet


def joint_fluid(q: Tensor, layers: Cartilage, amount: float, wave: Tensor) -> Tensor:
    """Distance to the fluid [mm], negative inside; lay it after cartilage, menisci and ligaments, which displace it.

    Args:
        q: points of the standard knee, ``(3, ...)`` [mm].
        layers: the cartilage at these points.
        amount: 0 dry, 1 physiological, 3 a clear effusion, 5 a tense one.
        wave: smooth field of unit variance that roughens the recesses.
    """
    x, y, z = q
    # A film over the cartilage of femur and patella, thicker in the recesses behind the condyles.
    behind = torch.exp(-((x.abs() - 21) / 9).square() - ((z - 19) / 9).square()) * torch.sigmoid((y - 18) / 3)
    covered = torch.minimum(layers.femoral, layers.patellar)
    film = covered - (0.12 + 0.28 * amount + 0.15 * wave + (0.1 + 0.8 * amount) * behind)
    # Where the cartilages of femur and tibia part, and in pockets around the cruciates.
    tibial = torch.minimum(layers.medial_tibial, layers.lateral_tibial)
    between = meet(layers.femoral, tibial) - (0.5 + 0.4 * amount)
    notch = ellipsoid(q, (0, 14, 8), (6, 4 + 2.5 * amount, 6)) + 2.5 * wave
    # The pouch lies between quadriceps tendon and prefemoral fat: a slit that fills from below.
    lean = -42.5 - 0.06 * (z - 55)
    thick = 0.15 + 0.95 * amount
    pouch = ellipsoid(
        torch.stack((x - 1, y - lean, z - 57)), (0, 0, 0), (19 + 2 * amount, thick, 22 + 2 * min(amount, 5.0))
    )
    gutter = 0.2 + 1.1 * amount
    gutters = join(ellipsoid(q, (36, -12, 24), (gutter, 14, 15)), ellipsoid(q, (-36, -12, 24), (0.9 * gutter, 14, 15)))
    # Along the popliteus tendon, and before Hoffa's pad.
    popliteus = capsule(q, (30, 14, 4), (22, 24, -12), (0.4 + 0.5 * amount, 0.3 + 0.5 * amount))
    cleft = q[2] + 2 + 0.25 * (q[1] + 26) + 0.5 * wave  # level, and rising to the front
    hoffa = ellipsoid(torch.stack((x, y + 26, cleft)), (0, 0, 0), (7, 2.5 + 1.2 * amount, 0.25 + 0.45 * amount))
    recesses = join(join(pouch, gutters, 2), join(popliteus, hoffa), 1)
    out = join(join(film, between), recesses + 0.5 * wave, 1)
    out = torch.minimum(out, notch)
    return out if amount > 0 else out + 10


def synovium(q: Tensor, fluid: Tensor, wave: Tensor) -> Tensor:
    """Distance [mm] to what lines the fluid and to the loose tissue among the cruciates."""
    lining = fluid - 0.9
    intercondylar = ellipsoid(q, (0, 9, 6), (9, 16, 9)) + 2.2 * wave
    return torch.minimum(lining, intercondylar)


def fat_pads(q: Tensor) -> Tensor:
    """Distance [mm] to the pads of fat in the joint: Hoffa's, suprapatellar, prefemoral."""
    hoffa = ellipsoid(q, (0, -34, 4), (31, 19, 25))
    suprapatellar = ellipsoid(q, (1, -52, 55), (14, 4.5, 7))
    prefemoral = ellipsoid(q, (0, -31, 62), (20, 8, 26))
    return join(join(hoffa, suprapatellar), prefemoral)
