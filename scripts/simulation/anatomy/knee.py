# SPDX-License-Identifier: Apache-2.0
"""A drawn knee: ask at any point in space what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scripts.simulation.anatomy.bones import Bones, bones
from scripts.simulation.anatomy.canvas import Canvas, Material, Sample
from scripts.simulation.anatomy.cartilage import cartilage
from scripts.simulation.anatomy.fields import RandomField, coarsely
from scripts.simulation.anatomy.fluid import fat_pads, joint_fluid, synovium
from scripts.simulation.anatomy.frame import Frame
from scripts.simulation.anatomy.ligaments import ligaments
from scripts.simulation.anatomy.marrow import cortex_thickness, marrow
from scripts.simulation.anatomy.menisci import menisci
from scripts.simulation.anatomy.muscles import TENDON_GIRTH, muscles, swell
from scripts.simulation.anatomy.outline import fascia, fat_thickness
from scripts.simulation.anatomy.parameters import KneeParameters
from scripts.simulation.anatomy.shapes import coverage, meet
from scripts.simulation.anatomy.vessels import vessels

if TYPE_CHECKING:
    from scripts.simulation.pathology.base import Lesion

COARSE_EDGE = 0.9
"""Pixels larger than this [mm] are too few to interpolate solids between."""


@dataclass(frozen=True)
class _Fields:
    """Random fields of unit variance on the points: named by what they look like."""

    wide: Tensor  # (2, ...) some 25 mm
    wave: Tensor  # (2, ...) some 9 mm
    lobule: Tensor  # (2, ...) some 4 mm
    thread: Tensor  # (2, ...) both zero along fine curves
    grain: Tensor  # (2, ...) about a pixel, and two
    fibre: Tensor  # (2, ...) drawn out along the leg


@dataclass(frozen=True)
class _Lobules:
    """How fat is divided: shares of septa, of small veins between them, and of fat in a lobule; each ``(...)``."""

    walls: Tensor
    venule: Tensor
    lobes: Tensor


class Knee:
    """One knee, ready to be scanned.

    Args:
        parameters: the drawn proportions.
        lesions: what is wrong with it, applied in order after all tissue is laid.
    """

    def __init__(self, parameters: KneeParameters, lesions: Sequence[Lesion] = ()) -> None:
        self.parameters, self.lesions = parameters, tuple(lesions)
        generator = torch.Generator().manual_seed(parameters.seed)
        self.frame = Frame(parameters.pose, generator)
        self._smooth = RandomField(generator, nodes=16, channels=2, smooth=True)
        self._rough = RandomField(generator, nodes=40, channels=2)

    def sample(self, points: Tensor, edge: float) -> Sample:
        """What is found at ``points`` ``(3, ...)``, LPS [mm]; boundaries are spread over ``edge`` [mm]."""
        p = self.parameters
        step = 1 if edge > COARSE_EDGE else 2
        q, fields = self._fields(points, step)
        found = coarsely(lambda at: _stack(bones(self.frame.to_knee(at), p.joint)), points, step)
        solid = Bones(*found)
        edge = edge / (sum(p.pose.scale) / 3)
        canvas = Canvas(q[0], edge)

        around = coarsely(self._around, points, 2 * step)
        deep, skin = around[0] + 0.3 * fields.wave[0], around[1]
        canvas.lay("background", -skin, {"air": 1.0})
        thick = (1.25 + 0.35 * fields.wide[0] + 0.2 * fields.wave[1]).clamp_min(0.7)
        canvas.lay("skin", -(skin + thick), {"skin": 1.0})
        self._lay_bones(canvas, q, solid, fields)
        self._lay_joint(canvas, q, solid, fields)
        self._lay_vessels(canvas, points, deep, fields, step)
        lobules = self._lobules(fields)
        self._lay_muscles(canvas, points, deep, fields, lobules, step)
        self._lay_fat(canvas, q, deep, skin, fields, lobules)
        sample = canvas.finish()
        for lesion in self.lesions:
            sample = lesion.apply(sample, q, solid)
        return sample

    # -- fields ------------------------------------------------------------------------------------------------------

    def _around(self, points: Tensor) -> Tensor:
        """Distances to the deep fascia and to the skin, ``(2, ...)``."""
        q = self.frame.to_knee(points)
        p, wide = self.parameters, self._smooth(q + 37, (24.0,) * 3)
        deep = fascia(q, p.muscle_bulk) + 0.8 * wide[1]
        skin = deep - fat_thickness(q, p.fat_thickness, wide[0]) - 1.5
        # Fat that the leg lies on is pressed flat.
        pressed = meet(skin, q[1] - (62 + 0.45 * p.fat_thickness), 14)
        return torch.stack((deep, torch.minimum(pressed, deep - 2.3)))

    def _fields(self, points: Tensor, step: int) -> tuple[Tensor, _Fields]:
        def gentle(at: Tensor) -> Tensor:
            q = self.frame.to_knee(at)
            return torch.cat((q, self._smooth(q + 37, (24.0,) * 3), self._smooth(q, (9.0, 9.0, 11.0))))

        def middling(at: Tensor) -> Tensor:
            q = self.frame.to_knee(at)
            return torch.cat((self._smooth(q + 71, (4.4, 4.4, 5.2)), self._smooth(q + 53, (3.2, 3.2, 4.6))))

        slow, medium = coarsely(gentle, points, 2 * step), coarsely(middling, points, step)
        q = slow[:3]
        # Fibres of a leg run along it, a few degrees askew and bent.
        skew = torch.stack((q[0] + 0.10 * q[2] + slow[5], q[1] - 0.16 * q[2] + slow[6], q[2]))
        fine = torch.cat((self._rough(q, (0.55, 0.55, 1.5))[:1], self._rough(q + 11, (1.7, 1.7, 2.0))[1:]))
        fibre = torch.cat((self._rough(skew, (1.2, 1.2, 16.0))[:1], self._smooth(skew + 23, (2.4, 2.4, 34.0))[1:]))
        return q, _Fields(slow[3:5], slow[5:7], medium[:2], medium[2:], fine, fibre)

    # -- tissue, front to back ---------------------------------------------------------------------------------------

    def _lay_bones(self, canvas: Canvas, q: Tensor, solid: Bones, fields: _Fields) -> None:
        p = self.parameters
        shell = cortex_thickness(q, fields.wave[1])
        vessel = torch.exp(-fields.thread.square().sum(0) / (0.13**2 * p.vascularity + 1e-6))
        inside = marrow(q, solid, p.red_marrow, p.marrow_texture, fields.wide, fields.wave, fields.grain, vessel)
        for name in ("femur", "tibia", "patella", "fibula"):
            distance = getattr(solid, name)
            canvas.lay(name, distance + shell, inside)
            canvas.lay(name, distance, {"cortex": 1.0})

    def _lay_joint(self, canvas: Canvas, q: Tensor, solid: Bones, fields: _Fields) -> None:
        p = self.parameters
        layers = cartilage(q, solid, wave=0.07 * fields.wave[0], joint=p.joint)
        for name in ("femoral", "medial_tibial", "lateral_tibial", "patellar"):
            distance, depth = getattr(layers, name), getattr(layers, f"{name}_depth")
            # Water content and T2 rise from the bone to the surface.
            surface = ((depth - 0.25) / 0.6).clamp(0, 1)
            structure = name + "_cartilage"
            canvas.lay(structure, distance, {"cartilage_superficial": surface, "cartilage_deep": 1 - surface})
        for name, distance in zip(("medial", "lateral"), menisci(q, solid, layers, p.joint), strict=True):
            canvas.lay(f"{name}_meniscus", distance, {"meniscus": 1.0})
        for name, distance in ligaments(q, solid, p.joint).items():
            tendinous = name in ("quadriceps_tendon", "patellar_tendon", "tendon")
            # Fatty and synovial strands part the fibres.
            strand = (0.06 * (fields.fibre[0] - 0.9).clamp(0, 1) + 0.03 * fields.grain[1].clamp(0, 1)).clamp(0, 0.5)
            if name == "anterior_cruciate_ligament":
                strand = (4.0 * strand + 0.12).clamp(0, 0.6)
            fibres = "tendon" if tendinous else "ligament"
            canvas.lay(name, distance + 0.3 * fields.grain[1], {fibres: 1 - strand, "synovium": strand})
        wet = joint_fluid(q, layers, p.fluid, fields.wave[1])
        canvas.lay("joint_fluid", wet, {"fluid": 1.0})
        lining = synovium(q, wet, fields.lobule[0])
        loose = (0.25 + 0.35 * torch.sigmoid(2 * fields.lobule[1])).clamp(0, 1)
        canvas.lay("synovium", lining, {"synovium": 1 - loose, "subcutaneous_fat": loose})

    def _lay_vessels(self, canvas: Canvas, points: Tensor, deep: Tensor, fields: _Fields, step: int) -> None:
        def found(at: Tensor) -> Tensor:
            q = self.frame.to_knee(at)
            wander = torch.cat((self._smooth(q + 91, (14.0, 14.0, 22.0)), torch.zeros_like(q[:1])))
            return torch.stack(list(vessels(q + 1.6 * wander).values()))

        artery, vein, nerve, superficial = coarsely(found, points, step)
        canvas.lay("artery", artery, {"artery": 1.0})
        canvas.lay("artery", artery - 0.7, {"connective": 0.9})
        canvas.lay("vein", torch.minimum(vein, superficial), {"vein": 1.0})
        canvas.lay("vein", torch.minimum(vein, superficial) - 0.4, {"connective": 0.9})
        fascicles = (0.5 + 0.35 * fields.grain[1]).clamp(0, 1)
        canvas.lay("nerve", nerve, {"connective": 0.45 + 0.3 * fascicles, "subcutaneous_fat": 0.35 * (1 - fascicles)})
        canvas.lay("fascia", deep.abs() - (0.22 + 0.12 * fields.wave[0]), {"connective": 0.6})

    def _lay_muscles(
        self, canvas: Canvas, points: Tensor, deep: Tensor, fields: _Fields, lobules: _Lobules, step: int
    ) -> None:
        p = self.parameters

        def found(at: Tensor) -> Tensor:
            q = self.frame.to_knee(at)
            bellies = muscles(q, p.muscle_bulk)
            return torch.stack((swell(q, bellies), bellies.plane, bellies.girth))

        distance, plane, girth = coarsely(found, points, step)
        # Bellies swell into what space their neighbours leave, and keep off bones by the fat around the periosteum.
        swollen = torch.maximum(distance - 0.7 * fields.wave[0], deep + 0.6)
        gap = 0.28 + 0.30 * fields.wave[1].clamp_min(-0.9) + 2.0 * p.muscle_fat
        canvas.put(
            "intermuscular_fat",
            coverage(swollen, canvas.edge) * coverage(plane - gap.clamp_min(0.05), canvas.edge),
            _fat(lobules, 0.4),
        )
        canvas.lay("muscle", swollen, self._muscle(fields, girth))

    def _muscle(self, fields: _Fields, girth: Tensor) -> Material:
        p = self.parameters
        streak = (fields.fibre[1] - 2.1 + 3.0 * p.muscle_fat).clamp(0, 1)  # fine planes of fat between bundles
        patch = torch.sigmoid((fields.wide[1] + 0.5 * fields.lobule[0] - 1.0) / 0.4)
        fat = 0.5 * p.muscle_fat + 0.7 * streak + 1.2 * p.muscle_fat * patch * torch.sigmoid(2 * fields.fibre[1])
        fat = (fat + 0.02 * fields.fibre[0]).clamp(0, 0.9)
        tendon = ((TENDON_GIRTH + 0.9 - girth) / 0.8).clamp(0, 1)
        bundles = (0.92 + 0.11 * fields.grain[0] + 0.06 * fields.grain[1]) * (1 - 0.05 * fields.fibre[0].clamp_min(-1))
        fleshy = (1 - fat) * (1 - tendon) * bundles.clamp(0, 1)
        return {"muscle": fleshy, "tendon": (1 - fat) * tendon, "subcutaneous_fat": fat * (1 - 0.8 * tendon)}

    def _lay_fat(
        self, canvas: Canvas, q: Tensor, deep: Tensor, skin: Tensor, fields: _Fields, lobules: _Lobules
    ) -> None:
        p = self.parameters
        fat = _fat(lobules)
        canvas.lay("fat_pad", fat_pads(q), _fat(lobules, 1.5))
        canvas.lay("intermuscular_fat", deep, fat)
        # The superficial fascia parts subcutaneous fat in two layers; in front it is layered more finely.
        layered = (0.55 * p.fat_septa * (0.6 + 0.5 * fields.wave[0])).clamp(0, 1)
        middle = (0.5 + 0.12 * fields.wide[1]) * (skin - deep) + deep
        canvas.put("subcutaneous_fat", layered * coverage(middle.abs() - 0.25, canvas.edge), {"connective": 0.7})
        canvas.put("subcutaneous_fat", torch.ones_like(deep), fat)

    def _lobules(self, fields: _Fields) -> _Lobules:
        """Fat in lobules: septa are thin sheets where a smooth field vanishes, vessels run where two do."""
        p = self.parameters
        walls = torch.exp(-((fields.lobule[0] / 0.11).square()))
        walls = torch.maximum(walls, 0.8 * torch.exp(-((fields.wave[0] / 0.05).square())))
        walls = p.fat_septa * walls * (0.25 + 0.12 * fields.wave[1])
        vessel = torch.exp(-(fields.lobule.square().sum(0)) / (0.11**2 * p.vascularity + 1e-6))
        lobes = 0.96 - 0.025 * fields.wide[0].abs() - 0.02 * fields.lobule[1].abs()
        lobes = lobes - p.fat_septa * (0.21 * fields.grain[0] + 0.07 * fields.grain[1]).clamp_min(-0.04)
        return _Lobules(walls, 0.7 * vessel, lobes.clamp(0, 1))


def _fat(lobules: _Lobules, septa: float = 1.0) -> Material:
    """What fat is made of, its septa ``septa`` times as strong as under the skin."""
    walls = (septa * lobules.walls).clamp(0, 0.8)
    rest = 1 - walls
    return {
        "subcutaneous_fat": lobules.lobes * (1 - lobules.venule) * rest,
        "connective": 0.75 * walls,
        "vein": 0.8 * lobules.venule * rest,
    }


def _stack(solid: Bones) -> Tensor:
    return torch.stack([getattr(solid, entry.name) for entry in fields_of(solid)])
