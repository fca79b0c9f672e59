# SPDX-License-Identifier: Apache-2.0
"""Vessels and nerves around the standard right knee."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from scripts.simulation.anatomy.shapes import capsule, join

Place = tuple[float, float, float]
_ARTERY: tuple[tuple[Place, float], ...] = (
    ((-10, 24, 120), 3.3), ((-2, 28, 70), 3.2), ((2, 31, 30), 3.0), ((3, 32, 0), 2.8), ((4, 33, -45), 2.6),
    ((6, 30, -120), 1.8),
)  # fmt: skip
_VEIN: tuple[tuple[Place, float], ...] = (
    ((-4, 31, 120), 4.2), ((3, 35, 70), 4.2), ((5, 38, 30), 4.0), ((4, 38, 0), 3.6), ((1, 38, -45), 3.0),
    ((1, 34, -120), 2.2),
)  # fmt: skip
_NERVE: tuple[tuple[Place, float], ...] = (
    ((6, 46, 120), 4.0), ((7, 46, 70), 3.6), ((5, 46, 20), 3.2), ((3, 45, -30), 3.0), ((3, 40, -120), 2.4),
)  # fmt: skip
_SIDE_BRANCHES: tuple[tuple[Place, Place, float], ...] = (
    ((2, 31, 38), (-30, 20, 46), 1.1), ((2, 31, 38), (32, 18, 46), 1.1),  # superior genicular
    ((3, 32, -8), (-32, 10, -22), 0.9), ((3, 32, -8), (34, 12, -12), 0.9),  # inferior genicular
    ((3, 32, 0), (-18, 46, -30), 1.2), ((3, 32, 0), (20, 46, -30), 1.2),  # sural, to gastrocnemius
    ((3, 31, 12), (0, 12, 12), 0.8),  # middle genicular
)  # fmt: skip
_SUPERFICIAL: tuple[tuple[Place, Place, float], ...] = (
    ((-44, 48, 120), (-46, 42, 0), 1.9), ((-46, 42, 0), (-44, 12, -120), 1.8),  # great saphenous
    ((4, 70, -120), (2, 62, -20), 1.6), ((2, 62, -20), (4, 42, 20), 1.6),  # small saphenous
)  # fmt: skip
_PERONEAL: tuple[Place, Place] = ((26, 46, 60), (44, 28, -30))


def vessels(q: Tensor) -> dict[str, Tensor]:
    """Distances [mm] to ``artery``, ``vein``, ``nerve`` and ``superficial_vein``, negative inside.

    Args:
        q: points of the standard knee, ``(3, ...)`` [mm]; bend them first, since no vessel is straight.
    """
    artery, vein = _chain(q, _ARTERY), _chain(q, _VEIN)
    for start, end, radius in _SIDE_BRANCHES:
        artery = torch.minimum(artery, capsule(q, start, end, (radius, 0.5 * radius)))
        beside = (1.6 * radius, 1.6 * radius, 1.2 * radius)
        start_v = (start[0] + beside[0], start[1] + beside[1], start[2] + beside[2])
        end_v = (end[0] + beside[0], end[1] + beside[1], end[2] + beside[2])
        vein = torch.minimum(vein, capsule(q, start_v, end_v, (1.2 * radius, 0.6 * radius)))
    superficial = torch.full_like(q[0], 1e3)
    for start, end, radius in _SUPERFICIAL:
        superficial = torch.minimum(superficial, capsule(q, start, end, (radius, radius)))
    nerve = join(_chain(q, _NERVE), capsule(q, *_PERONEAL, (1.9, 1.6)))
    return {"artery": artery, "vein": vein, "nerve": nerve, "superficial_vein": superficial}


def _chain(q: Tensor, places: tuple[tuple[Place, float], ...]) -> Tensor:
    out = torch.full_like(q[0], 1e3)
    for (start, first), (end, last) in pairwise(places):
        out = torch.minimum(out, capsule(q, start, end, (first, last)))
    return out
