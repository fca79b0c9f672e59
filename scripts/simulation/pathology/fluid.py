# SPDX-License-Identifier: Apache-2.0
"""Fluid where there was little or none: effusion, blood with levels, popliteal and ganglion cysts."""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.anatomy.shapes import capsule, cut, ellipsoid, join
from scripts.simulation.pathology.base import EDGE, LesionParameters, LocalLesion, Patch, fade

LOOSE = ("subcutaneous_fat", "synovium", "connective")
"""Compartments that fluid in a recess displaces."""
POUCH = -44.5
"""Position y [mm] of the back of the quadriceps tendon, against which the suprapatellar pouch lies."""
_NOT_JOINT = (
    "background", "skin", "subcutaneous_fat", "fascia", "muscle", "artery", "vein", "nerve", "patellar_tendon",
    "quadriceps_tendon", "medial_collateral_ligament", "lateral_collateral_ligament", "anterior_cruciate_ligament",
    "posterior_cruciate_ligament", "cyst", "metal",
)  # fmt: skip
"""Structures whose fat, at a boundary, is none of the joint's."""


class Effusion(LocalLesion):
    """Joint effusion: pouch, gutters, notch and posterior recesses fill in proportion.

    ``size_mm`` is the thickness of the suprapatellar pouch from front to back (10 mm is large); strength is the share
    of the recesses that is fluid.
    """

    @property
    def reach(self) -> float:
        """See `LocalLesion`."""
        return 95.0

    def change(self, patch: Patch) -> None:
        """See `LocalLesion`."""
        inside = 1 - patch.labelled(*_NOT_JOINT)
        distance = self.recesses(patch.q, patch.femur)
        lining = fade(distance - 0.9, EDGE) * inside
        patch.replace(0.6 * self.strength * lining, ("subcutaneous_fat",), {"synovium": 1.0})
        self.fill(patch, self.strength * fade(distance, EDGE) * inside)

    def fill(self, patch: Patch, weight: Tensor) -> None:
        """Put the fluid into the recesses."""
        patch.replace(weight, LOOSE, {"fluid": 1.0}, "joint_fluid")

    def recesses(self, q: Tensor, femur: Tensor) -> Tensor:
        """Distance [mm] to the distended recesses, negative inside."""
        x, y, z = q
        size = self.size
        wave = self.waves(q, 13.0)
        ripple = (0.07 * size + 0.2) * wave[0] + 0.3 * self.waves(q, 4.0)[1]
        # The pouch hangs over the femur like a saddle, behind the quadriceps tendon; a tense one bulges at its sides.
        beside = 1 - fade((x - 6).abs() - 20, 8.0)
        middle = torch.stack((x - 6, y - POUCH + 0.010 * (x - 6).square() + 0.05 * (z - 55), z - 56))
        pouch = ellipsoid(middle, (0, min(0.45 * size, 4.0), 0), (19 + size, 0.2 + 0.5 * size, 21 + size))
        pouch = torch.maximum(pouch + ripple, POUCH - 0.5 * size * beside - y)
        # Gutters and posterior recesses cling to the condyles, under ligaments and retinacula.
        side = fade(26 - x.abs(), 8.0) * fade((y + 17).abs() - 13, 12.0) * fade((z - 24).abs() - 15, 14.0)
        hind = fade(11 - y, 8.0) * fade((z - 17).abs() - 11, 12.0) * fade((x.abs() - 20).abs() - 9, 8.0)
        there = (side + hind).clamp(0, 1)
        clinging = femur - 2.4 * there - size * (0.42 * side + 0.36 * hind) + ripple * there + 3 * (1 - there)
        clinging = torch.maximum(clinging, x.abs() - 35.5)
        notch = ellipsoid(q, (0, 5, 11), (7.5, 4 + 0.7 * size, 5 + 0.35 * size)) + 1.2 * wave[2]
        popliteus = capsule(q, (30, 12, 4), (20, 22, -12), (0.2 + 0.16 * size, 0.2 + 0.14 * size))
        return join(join(pouch, clinging, 2), torch.minimum(notch, popliteus), 1)


class BloodyEffusion(Effusion):
    """Blood and marrow fat in the joint after a fracture: fat floats to the front of the lying patient, cells sink."""

    def fill(self, patch: Patch, weight: Tensor) -> None:
        """See `Effusion`."""
        y = patch.q[1]
        fat = fade(y - POUCH - 0.25 * self.size, 0.6)  # levels are flat
        cells = fade(POUCH + 0.45 * self.size - y, 1.2)
        patch.replace(weight * fat, ("synovium", "connective", "fluid"), {"subcutaneous_fat": 1.0}, "joint_fluid")
        loose = (*LOOSE, "fluid")
        patch.replace(weight * cells, loose, {"blood": 0.8, "fluid": 0.2}, "joint_fluid")
        patch.replace(weight * (1 - fat) * (1 - cells), LOOSE, {"fluid": 0.9, "blood": 0.1}, "joint_fluid")


class Cyst(LocalLesion):
    """A lobulated, thin-walled pocket of fluid; ``size_mm`` is its longest diameter, strength the share of fluid."""

    lobes = 4
    slender = 0.55
    """Shorter over longest diameter."""
    displaced: tuple[str, ...] = (*LOOSE, "fluid")

    def __init__(self, parameters: LesionParameters) -> None:
        super().__init__(parameters)
        self.buds = (torch.rand(self.lobes, 4, generator=self.generator) * 2 - 1).tolist()

    @property
    def reach(self) -> float:
        """See `LocalLesion`."""
        return 0.9 * self.size + 3

    def change(self, patch: Patch) -> None:
        """See `LocalLesion`."""
        inside = 1 - patch.labelled("background", "skin", "subcutaneous_fat", "artery", "vein", "nerve", "metal")
        distance = self.outline(patch.q)
        septum = torch.exp(-((self.waves(patch.q, 0.35 * self.size + 2)[1] / 0.05).square()))
        weight = self.strength * fade(distance, EDGE) * inside
        patch.replace(self.strength * fade(distance - 0.7, EDGE) * inside, self.displaced, {"connective": 1.0})
        patch.replace(weight * (1 - 0.5 * septum), self.displaced, {"fluid": 1.0}, "cyst")

    def outline(self, q: Tensor) -> Tensor:
        """Distance [mm] to the cyst, negative inside."""
        long, short = 0.5 * self.size, 0.5 * self.size * self.slender
        offset = self.offset(q)
        cyst = ellipsoid(offset, (0, 0, 0), (0.8 * short, 0.8 * short, 0.85 * long))
        for x, y, z, girth in self.buds:
            radius = short * (0.55 + 0.2 * girth)
            bud = ellipsoid(offset, (0.5 * short * x, 0.5 * short * y, 0.55 * long * z), (radius, radius, 1.2 * radius))
            cyst = join(cyst, bud, 0.3 * radius)
        return cyst + 0.04 * self.size * self.waves(q, 0.3 * self.size + 2)[0]


class BakerCyst(Cyst):
    """Popliteal cyst between semimembranosus and the medial head of gastrocnemius, with a neck to the joint."""

    lobes = 3
    slender = 0.42
    displaced = (*LOOSE, "muscle", "fluid")

    @property
    def reach(self) -> float:
        """See `LocalLesion`."""
        return 0.9 * self.size + 28

    def outline(self, q: Tensor) -> Tensor:
        """See `Cyst`."""
        thin = 0.03 * self.size
        neck = capsule(q, self.centre, (-17, 21, 14), (1.2 + thin, 0.6 + thin))
        return join(super().outline(q), neck, 2)


class GanglionCyst(Cyst):
    """Ganglion or parameniscal cyst: small, with more and finer lobes; never inside bone, cartilage or a ligament."""

    lobes = 7
    slender = 0.7
    displaced = (*LOOSE, "muscle", "fluid")

    def outline(self, q: Tensor) -> Tensor:
        """See `Cyst`: lobes are cut by furrows."""
        cell = 0.22 * self.size + 1.2
        furrow = 0.7 * cell * self.waves(q, cell)[2].abs() - 0.35
        return cut(super().outline(q), furrow, 0.5)
