# SPDX-License-Identifier: Apache-2.0
"""Masses of fat and pieces of metal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.anatomy.shapes import capsule, ellipsoid, join
from scripts.simulation.pathology.base import EDGE, LesionParameters, LocalLesion, Patch, fade
from scripts.simulation.tissue import COMPARTMENTS

Vector = tuple[float, float, float]
_SPARED = (
    "background", "skin", "subcutaneous_fat", "fascia", "artery", "vein", "nerve", "metal", "quadriceps_tendon",
    "patellar_tendon",
)  # fmt: skip
_TISSUE = tuple(tissue.name for tissue in COMPARTMENTS if tissue.name != "metal")


class Lipoma(LocalLesion):
    """A lobule of fat with a thin capsule and a few septa: bright on PD, gone with fat suppression.

    ``size_mm`` is its longest diameter, strength the share of fat.
    """

    def __init__(self, parameters: LesionParameters) -> None:
        super().__init__(parameters)
        self.buds = (torch.rand(3, 3, generator=self.generator) * 2 - 1).tolist()

    @property
    def reach(self) -> float:
        """See `LocalLesion`."""
        return 0.8 * self.size + 3

    def change(self, patch: Patch) -> None:
        """See `LocalLesion`."""
        soft = ("muscle", "connective", "subcutaneous_fat", "tendon", "synovium", "skin")
        inside = 1 - patch.labelled(*_SPARED)
        distance = self.outline(patch.q)
        septum = torch.exp(-((self.waves(patch.q, 0.25 * self.size + 3)[1] / 0.04).square()))
        patch.replace(0.8 * self.strength * fade(distance - 0.6, EDGE) * inside, soft, {"connective": 1.0})
        weight = self.strength * fade(distance, EDGE) * inside * (1 - 0.35 * septum)
        patch.replace(weight, soft, {"subcutaneous_fat": 1.0}, "lipoma")

    def outline(self, q: Tensor) -> Tensor:
        """Distance [mm] to the lipoma, negative inside."""
        offset, half = self.offset(q), 0.5 * self.size
        out = ellipsoid(offset, (0, 0, 0), (0.62 * half, 0.55 * half, 0.9 * half))
        for x, y, z in self.buds:
            radius = 0.45 * half
            out = join(
                out, ellipsoid(offset, (0.35 * half * x, 0.3 * half * y, 0.5 * half * z), (radius,) * 3), 0.1 * half
            )
        return out + 0.02 * self.size * self.waves(q, 0.3 * self.size + 2)[0]


@dataclass(frozen=True)
class MetalPiece:
    """A rod of metal in the standard knee.

    Args:
        start: one end [mm].
        end: the other end [mm].
        radius: of the rod [mm].
    """

    start: Vector
    end: Vector
    radius: float

    def spheres(self) -> tuple[tuple[Vector, float], ...]:
        """Balls (centre, radius) along the rod that hold its volume together, for a sum of dipole fields."""
        steps = [b - a for a, b in zip(self.start, self.end, strict=True)]
        length = math.sqrt(sum(step * step for step in steps))
        number = max(round(length / (4 * self.radius)), 1)
        volume = math.pi * self.radius**2 * (length + 4 / 3 * self.radius)
        radius = (volume / number * 0.75 / math.pi) ** (1 / 3)
        balls = []
        for index in range(number):
            x, y, z = (a + (index + 0.5) / number * step for a, step in zip(self.start, steps, strict=True))
            balls.append(((x, y, z), radius))
        return tuple(balls)


class Metal(LocalLesion):
    """Screws or a staple: no signal at all; what they do to the field is the scanner's.

    ``size_mm`` is the diameter of a screw; a staple is half as thick. Strength switches it on.
    """

    @property
    def reach(self) -> float:
        """See `LocalLesion`."""
        return 60.0

    @property
    def pieces(self) -> tuple[MetalPiece, ...]:
        """The rods, in the frame of the standard knee; none when switched off."""
        if self.size == 0 or self.strength == 0:
            return ()
        x, y, z = self.centre
        half = 0.5 * self.size
        if self.parameters.place == "cruciate_screws":
            ends = (((-3.0, -10.0, -12.0), (-8.0, -15.0, -34.0)), ((7.0, 9.0, 21.0), (18.0, 2.0, 38.0)))
            return tuple(MetalPiece(_add(self.shift, a), _add(self.shift, b), half) for a, b in ends)
        if self.parameters.place == "tibial_plateau_screws":
            return tuple(MetalPiece((36.0, y + dy, z), (-26.0, y + dy, z), half) for dy in (-8.0, 8.0))
        thin = 0.25 * self.size
        legs = tuple(MetalPiece((x, y, z + dz), (x + 2, y + 16, z + dz), thin) for dz in (-6.0, 6.0))
        return (MetalPiece((x, y, z - 6), (x, y, z + 6), thin), *legs)

    @property
    def shift(self) -> Vector:
        """How far the place was moved [mm]."""
        x, y, z = (a - b for a, b in zip(self.centre, self.place.centre, strict=True))
        return (x, y, z)

    def change(self, patch: Patch) -> None:
        """See `LocalLesion`."""
        distance = torch.full_like(patch.q[0], 1e3)
        for piece in self.pieces:
            rod = capsule(patch.q, piece.start, piece.end, (piece.radius, piece.radius))
            distance = torch.minimum(distance, rod)
        weight = fade(distance, EDGE) * (1 - patch.labelled("background"))
        patch.replace(weight, _TISSUE, {"metal": 1.0}, "metal")


def _add(a: Vector, b: Vector) -> Vector:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])
