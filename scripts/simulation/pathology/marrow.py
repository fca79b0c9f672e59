# SPDX-License-Identifier: Apache-2.0
"""Lesions that put water where there was fat: oedema of marrow and of fat, and red marrow, which only looks like it."""

from __future__ import annotations

import torch

from scripts.simulation.pathology.base import LocalLesion, Patch, fade

LOST_FAT = 0.62
"""Share of the marrow's fat that oedema of strength 1 replaces: fat fraction .95 to about .4, a marked oedema."""
RED_WATER = 0.47
"""Share of the fat that red marrow of strength 1 lacks: fat fraction about .5."""


class Oedema(LocalLesion):
    """Bone marrow oedema-like lesion: ill-defined, strongest under the joint surface; ``size_mm`` is its diameter."""

    @property
    def reach(self) -> float:
        """See `LocalLesion`."""
        return 1.5 * self.size + 2

    def change(self, patch: Patch) -> None:
        """See `LocalLesion`."""
        weight = self._outline(patch)
        depth = -torch.minimum(torch.minimum(patch.femur, patch.tibia), patch.patella)
        weight = weight * (0.72 + 0.28 * torch.exp(-depth.clamp_min(0) / 4))
        patch.replace(LOST_FAT * self.strength * weight, ("marrow_fat",), {"oedema_water": 1.0})

    def _outline(self, patch: Patch) -> torch.Tensor:
        """How oedematous the points are, 0..1: feathered edges, streaks of spared tissue."""
        radius = 0.52 * self.size
        coarse, fine = self.waves(patch.q, 0.8 * radius), self.waves(patch.q, 0.25 * radius + 1)
        rough = radius * (0.20 * coarse[0].clamp(-2, 1.2) + 0.10 * fine[0])
        edge = fade(self.distance(patch.q) - 0.95 * radius + rough, 0.9 * radius)
        return edge * (0.86 + 0.12 * coarse[1] + 0.09 * fine[1]).clamp(0.3, 1)


class FatOedema(Oedema):
    """Oedema of a fat pad, or under the skin: streaks of water along the septa; ``size_mm`` is its diameter."""

    def change(self, patch: Patch) -> None:
        """See `LocalLesion`."""
        fibres = self.waves(patch.q, 2.2)
        web = torch.exp(-((fibres[1] / 0.45).square())).maximum(torch.exp(-((fibres[2] / 0.45).square())))
        weight = self._outline(patch) * (0.30 + 0.70 * web)
        weight = weight * (1 - patch.labelled("skin", "muscle", "background"))
        patch.replace(0.75 * self.strength * weight, ("subcutaneous_fat",), {"oedema_water": 1.0})


class RedMarrow(LocalLesion):
    """Islands of red marrow in a metaphysis, a decoy: sharper than oedema, away from the joint surface.

    ``size_mm`` is the extent of the region; strength 1 halves its fat.
    """

    @property
    def reach(self) -> float:
        """See `LocalLesion`."""
        return self.size + 2

    def change(self, patch: Patch) -> None:
        """See `LocalLesion`."""
        cell = 0.16 * self.size + 2
        region = fade(self.distance(patch.q) - 0.62 * self.size, 0.6 * self.size)
        coarse, fine = self.waves(patch.q, cell), self.waves(patch.q, 0.3 * cell)
        islands = fade(-(coarse[0] + 0.35 * fine[0] + 1.6 * (region - 0.75)), 0.8)
        depth = -torch.minimum(torch.minimum(patch.femur, patch.tibia), patch.patella)
        from_joint = fade(18 - self.from_joint_line(patch.q), 8.0) * fade(1.5 - depth, 3.0)
        weight = region * islands * from_joint * (0.9 + 0.1 * fine[1]).clamp(0.5, 1)
        patch.replace(RED_WATER * self.strength * weight, ("marrow_fat",), {"marrow_water": 1.0})

    @staticmethod
    def from_joint_line(q: torch.Tensor) -> torch.Tensor:
        """Distance [mm] from the joint line along the leg: the growth plates, at some 20 mm, bound red marrow."""
        return torch.where(q[2] > 0, q[2] - 6, -q[2])
