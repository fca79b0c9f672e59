# SPDX-License-Identifier: Apache-2.0
"""Tears of menisci and ligaments, and defects of cartilage."""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.anatomy.menisci import LATERAL, MEDIAL
from scripts.simulation.pathology.base import EDGE, LesionParameters, LocalLesion, Patch, fade

BONES = ("femur", "tibia", "patella", "fibula")
CARTILAGES = ("femoral_cartilage", "medial_tibial_cartilage", "lateral_tibial_cartilage", "patellar_cartilage")
PATTERNS = ("oblique", "vertical", "radial", "complex")
_PATTERN_WEIGHTS = (0.45, 0.20, 0.15, 0.20)
_MENISCUS_FLOOR = 2.3
"""Height [mm] of a meniscus' lower surface over the bone of the tibia."""
_MENISCUS_RADIUS = 16.0
"""Mean radius [mm] of the menisci, from angles to lengths along them."""


class MeniscalTear(LocalLesion):
    """A thin sheet of fluid-like signal through a meniscus that reaches a surface, or several of them.

    ``size_mm`` is the length along the meniscus; strength is the share of the sheet that is fluid-like.
    """

    def __init__(self, parameters: LesionParameters) -> None:
        super().__init__(parameters)
        weights = torch.tensor(_PATTERN_WEIGHTS)
        self.pattern = PATTERNS[int(torch.multinomial(weights, 1, generator=self.generator))]
        self.width, self.slope, self.outer, self.at, turn = torch.rand(5, generator=self.generator).tolist()
        self.angle = self.place.direction[0] + 0.5 * (turn - 0.5)

    @property
    def reach(self) -> float:
        """See `LocalLesion`: the centre is that of the meniscus' ring."""
        return 34.0

    def change(self, patch: Patch) -> None:
        """See `LocalLesion`."""
        weight = self.strength * self.sheet(patch) * (patch.q[0] * self.centre[0] > 0)
        patch.replace(weight, ("meniscus",), {"tear_fluid": 1.0})

    def sheet(self, patch: Patch) -> Tensor:
        """Share of each point that the tear takes, 0..1."""
        outline = LATERAL if self.centre[0] > 0 else MEDIAL
        _, broad, deep = self.place.direction
        offset = self.offset(patch.q)
        side = 1.0 if self.centre[0] > 0 else -1.0
        along = (torch.atan2(offset[1] / deep, side * offset[0] / broad) - self.angle) * _MENISCUS_RADIUS
        along = (along + 3.1416 * _MENISCUS_RADIUS) % (6.2832 * _MENISCUS_RADIUS) - 3.1416 * _MENISCUS_RADIUS
        # Distances from the rim (negative inside it) and from the free edge; how far outwards a point lies, 0..1.
        rim, free = (_ellipse(patch.q, oval) for oval in (outline.outer, outline.inner))
        outward = free / (free - rim).clamp_min(1.0)
        height = patch.tibia - _MENISCUS_FLOOR
        wave = self.waves(patch.q, 5.0)
        half = 0.5 * (0.8 + 0.7 * self.width)
        within = fade(along.abs() - self.size / 2 + 0.8 * wave[2], 2.0)
        not_capsule = fade(outward - 0.80 - 0.2 * self.outer, 0.1)

        def thin(distance: Tensor) -> Tensor:
            return fade((distance + 0.30 * wave[0]).abs() - half, EDGE)

        oblique = thin(height - (0.15 + 0.35 * self.slope) * (free - 0.5 - 2 * self.at))
        vertical = thin(rim + 3 + 2 * self.at)
        if self.pattern == "oblique":
            return oblique * within * not_capsule
        if self.pattern == "vertical":
            return vertical * within
        if self.pattern == "radial":
            return thin(along) * not_capsule
        smudge = 0.6 * fade((along.square() + (height - 1.8).square()).sqrt() - 2.5 - wave[1], 2.5)
        return torch.maximum(torch.maximum(oblique * not_capsule, vertical), smudge) * within


class CartilageDefect(LocalLesion):
    """A crater in cartilage, filled with fluid; ``size_mm`` is its diameter, strength the share of the depth lost."""

    @property
    def reach(self) -> float:
        """See `LocalLesion`."""
        return 0.8 * self.size + 14

    def change(self, patch: Patch) -> None:
        """See `LocalLesion`."""
        structure = self.place.structure
        bones = torch.stack((patch.femur, patch.tibia, patch.patella))
        own = bones[{"f": 0, "p": 2}.get(structure[0], 1)]
        normal = torch.tensor(self.place.direction, dtype=own.dtype, device=own.device)
        normal = (normal / normal.norm()).view(3, 1)
        offset = self.offset(patch.q)
        along = (offset * normal).sum(0)
        across = (offset - along * normal).square().sum(0).sqrt()
        wave = self.waves(patch.q, 0.35 * self.size + 1.5)
        crater = fade(across - 0.5 * self.size + 0.07 * self.size * wave[0], 0.8) * (along.abs() < 14)
        # How deep a point lies is told by its share of the superficial layer, whatever the thickness there: it rises
        # from none at a quarter of the way from the bone to all at .85.
        superficial, deep = patch.share("cartilage_superficial"), patch.share("cartilage_deep")
        height = superficial / (superficial + deep).clamp_min(1e-3)
        kept = (1 - self.strength - 0.25) / 0.6 + 0.12 * wave[1]
        others = [name for name in CARTILAGES if name != structure]
        weight = crater * fade(kept - height, 0.3) * (own <= bones.min(0).values) * (1 - patch.labelled(*others))
        patch.replace(weight, ("cartilage_deep", "cartilage_superficial"), {"fluid": 1.0}, "joint_fluid")


class LigamentTear(LocalLesion):
    """Torn or sprained ligament: fluid-like signal between the fibres, swelling around, a gap when strong.

    ``size_mm`` is the length that is torn; strength up to .6 is a sprain, above it the fibres are interrupted.
    """

    @property
    def reach(self) -> float:
        """See `LocalLesion`."""
        return 1.1 * self.size + 8

    def change(self, patch: Patch) -> None:
        """See `LocalLesion`."""
        offset = self.offset(patch.q)
        axis = torch.tensor(self.place.direction, dtype=offset.dtype, device=offset.device)
        axis = (axis / axis.norm()).view(3, 1)
        along = (offset * axis).sum(0)
        around = (offset - along * axis).square().sum(0).sqrt()
        wave, fine = self.waves(patch.q, 6.0), self.waves(patch.q - 0.75 * along * axis, 1.4)
        torn = fade(along.abs() - 0.5 * self.size + wave[0], 0.5 * self.size)
        fibres = (0.62 + 0.30 * fine[0]).clamp(0.1, 1)
        gap = fade((along + 1.5 * wave[1]).abs() - 5 * (self.strength - 0.6), 1.5) if self.strength > 0.6 else 0.0
        core = torch.maximum(self.strength * torn * fibres, 0.95 * torn * gap)
        own = patch.labelled(self.place.structure) * (around < 12)
        patch.replace(core * own, ("ligament",), {"tear_fluid": 1.0})
        collateral = "collateral" in self.place.structure
        swelling = fade(around - (4.5 if collateral else 5.5) - 1.3 * wave[2], 4.0) * torn
        loose = 1 - patch.labelled(
            "background", "skin", "femur", "tibia", "patella", "fibula", "muscle", "artery", "vein"
        )
        patch.replace(
            0.85 * self.strength * swelling * (0.75 + 0.2 * fine[1]).clamp(0.2, 1) * loose,
            ("subcutaneous_fat", "synovium", "connective"),
            {"oedema_water": 0.6, "tear_fluid": 0.4},
        )


def _ellipse(q: Tensor, oval: tuple[float, float, float, float]) -> Tensor:
    """Distance [mm] to an upright elliptic cylinder of given centre x, y and half-axes, negative inside."""
    u, v = (q[0] - oval[0]) / oval[2], (q[1] - oval[1]) / oval[3]
    level = (u.square() + v.square() + 1e-6).sqrt()
    slope = ((u / oval[2]).square() + (v / oval[3]).square() + 1e-6).sqrt()
    return level * (level - 1) / slope
