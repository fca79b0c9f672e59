# SPDX-License-Identifier: Apache-2.0
"""A parametric knee: draw one, then ask at any point in space what it is made of.

Frame, in mm: x to the lateral side, y to the back, z to the head; the origin lies between the tibial spines. Bones,
cartilage and soft tissue are signed-distance solids around a female or male knee of average size; size, pose,
flexion, proportions, fat, fluid and marrow are drawn. The first, simple phantom of this project: proportions follow
textbook anatomy by eye, not a cohort.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.anatomy.fields import RandomField
from scripts.simulation.anatomy.shapes import capsule, coverage, ellipsoid, join, meet
from scripts.simulation.old_canvas import Canvas
from scripts.simulation.old_parameters import KneeParameters
from scripts.simulation.solids import MUSCLES, bones, fat_zone, outline


class Knee:
    """One drawn knee, ready to be sampled.

    Args:
        parameters: the drawn proportions.
        generator: the source of the textures and of the deformation (CPU).
    """

    def __init__(self, parameters: KneeParameters, generator: torch.Generator) -> None:
        self.parameters = parameters
        self.bend = RandomField(generator, nodes=8, channels=3, smooth=True)
        self.smooth = RandomField(generator, nodes=16, channels=2, smooth=True)
        self.grain = RandomField(generator, nodes=40)
        self.lesions = [
            tuple((torch.rand(3, generator=generator) - 0.5).tolist()) for _ in range(3)
        ]  # positions as shares of the joint's box

    # -- coordinates -------------------------------------------------------------------------------------------------

    def _to_knee(self, points: torch.Tensor) -> torch.Tensor:
        """Scanner coordinates (LPS, mm) to the standard right knee: pose, size, flexion and a smooth deformation."""
        p = self.parameters
        offset = torch.tensor(p.shift).view(3, *([1] * (points.ndim - 1)))
        local = torch.tensordot(_rotation(p.tilt).T, points - offset, dims=1) / p.scale
        x = local[0] if p.left else -local[0]  # LPS x grows to the patient's left: lateral for a left knee
        local = torch.stack((x, local[1], local[2]))
        local = local + 1.6 * self.bend(local, (38.0,) * 3) + 0.5 * self.bend(local + 50, (14.0,) * 3)
        # The lower leg turns about an axis behind the condyles; the turn fades in over the joint.
        angle = p.flexion * torch.sigmoid((6 - local[2]) / 7)
        y, z = local[1] - 8, local[2] - 16
        return torch.stack((local[0], 8 + y * angle.cos() + z * angle.sin(), 16 - y * angle.sin() + z * angle.cos()))

    # -- tissue ------------------------------------------------------------------------------------------------------

    def compartments(self, points: torch.Tensor, edge: float = 0.5) -> torch.Tensor:
        """What is found at the given points.

        Args:
            points: scanner coordinates ``(3, ...)`` [mm], LPS.
            edge: width [mm] over which a boundary is spread.

        Returns:
            Volume shares ``(C, ...)`` of the compartments, each in 0..1, with a sum of one. Textures within a tissue
            are shares of air or of another compartment.
        """
        p, q = self.parameters, self._to_knee(points)
        canvas = Canvas(points.shape[1:], edge / p.scale)
        grain_fine = self.grain(q, (0.55, 0.55, 0.7))[0]
        grain_mid = self.grain(q + 11, (2.2, 2.2, 2.6))[0]
        wave = self.smooth(q, (9.0, 9.0, 11.0))
        wide = self.smooth(q + 37, (24.0,) * 3)
        septa = torch.exp(-((self.smooth(q + 71, (4.2, 4.2, 5.0))[0] / 0.10) ** 2))
        septa = torch.maximum(septa, 0.8 * torch.exp(-((self.smooth(q + 91, (2.2, 2.2, 2.6))[1] / 0.07) ** 2)))

        femur, tibia, patella, fibula, plateau = bones(q)
        bone = join(join(femur, tibia), join(patella, fibula))
        z = q[2]

        skin_side, fascia = outline(q, p, wide[0])
        canvas.lay("air", -skin_side)
        canvas.lay("skin", -(skin_side + 1.6 + 0.3 * grain_mid))
        shell = 0.7 + 2.6 * torch.sigmoid((z.abs() - 52) / 9) + 0.25 * wave[1]
        self._lay_marrow(canvas, bone + shell, q, femur, tibia, wide, wave, grain_fine, grain_mid)
        canvas.lay("cortex", bone)
        self._lay_joint(canvas, q, femur, tibia, patella, plateau, wave, grain_mid)
        self._lay_soft_tissue(canvas, q, fascia, grain_fine, grain_mid, wave)
        # Whatever remains is fat: septa, vessels, lobules.
        canvas.put("connective", septa * (0.22 + 0.25 * coverage(fascia, 2.0)))
        vessel = torch.exp(-self.smooth(q + 17, (6.5, 6.5, 9.0)).square().sum(0) / 0.10**2)
        canvas.put("vein", 0.6 * vessel)
        canvas.put("air", 0.4 * vessel)
        canvas.put("subcutaneous_fat", (0.97 - 0.05 * wave[1].abs() - 0.02 * grain_mid.abs()).clamp(0.7, 1.0))
        canvas.put("air", torch.ones(()))
        return canvas.shares

    def _lay_marrow(
        self, canvas: Canvas, inner: Tensor, q: Tensor, femur: Tensor, tibia: Tensor,
        wide: Tensor, wave: Tensor, grain_fine: Tensor, grain_mid: Tensor,
    ) -> None:  # fmt: skip
        """Fill the bones inside their cortex: trabeculae, growth-plate scars, vessels, red marrow, oedema."""
        z = q[2]
        red, oedema = self._marrow_water(q, wide, wave)
        trabecular = (0.93 + 0.045 * grain_fine + 0.03 * grain_mid).clamp(0.6, 1.0)
        scar = torch.exp(-(((z - 27 - 2 * wave[0]) / 0.8) ** 2)) * (femur < 0)
        scar = scar + torch.exp(-(((z + 19 - 2 * wave[0]) / 0.8) ** 2)) * (tibia < 0)
        # Nutrient vessels and bone islands: fine dark threads, denser towards the joint.
        vessel = torch.exp(-self.smooth(q + 53, (3.0, 3.0, 4.5)).square().sum(0) / 0.16**2)
        vessel = vessel * torch.sigmoid((40 - z.abs()) / 8)
        density = trabecular * (1 - 0.35 * scar.clamp(0, 1)) * (1 - 0.5 * vessel)
        water = (0.07 + red + 0.25 * vessel).clamp(0, 0.75)
        swollen = (oedema * (1 - water)).clamp(0, 0.7)
        marrow = canvas.inside(inner)
        canvas.put_mixture(
            marrow,
            {
                "marrow_water": density * water,
                "oedema_water": density * swollen,
                "marrow_fat": density * (1 - water - swollen),
                "air": 1 - density,
            },
        )

    def _marrow_water(self, q: Tensor, wide: Tensor, wave: Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Shares of red marrow and of oedema in marrow, 0..1."""
        p, x, z = self.parameters, q[0], q[2]
        flame = torch.sigmoid((z.abs() - 34 + 9 * wide[1] + 5 * wave[0]) / 4)  # red marrow of the metaphyses
        red = p.red_marrow * flame * (0.55 + 0.25 * wave[1]).clamp(0, 1)
        oedema = torch.zeros_like(x)
        if p.oedema > 0:
            for sx, sy, sz in self.lesions:
                centre = (56 * sx, 40 * sy, 18 * (1 if sz > 0 else -0.9) + 14 * sz)
                radius = 9 + 8 * abs(sx + sy)
                blob = ellipsoid(q, centre, (radius, radius, 0.8 * radius)) + 2.5 * wave[0]
                oedema = torch.maximum(oedema, torch.sigmoid(-blob / 2.0))
            oedema = p.oedema * oedema
        return red + 0.05 * wide[0].clamp(-1, 1) * (1 if p.red_marrow else 0.4), oedema

    def _lay_joint(
        self, canvas: Canvas, q: Tensor, femur: Tensor, tibia: Tensor, patella: Tensor, plateau: Tensor,
        wave: Tensor, grain: Tensor,
    ) -> None:  # fmt: skip
        p, lay, (x, y, z) = self.parameters, canvas.lay, q
        thick = p.cartilage * (1 + 0.12 * wave[0])
        notch = torch.sigmoid((7 - x.abs()) / 1.0) * torch.sigmoid((y + 12) / 2)
        # Articular surface of the femur: below and behind the condyles, and the trochlea in front.
        reach = torch.where(y < -14, 40 - x.abs() * 0.4, 27 + 0.0 * x) - z
        on_femur = 2.2 * thick * torch.sigmoid(reach / 1.5) * (1 - notch)
        _lay_cartilage(canvas, femur, on_femur)
        rim = 1 - torch.sqrt((x / 36) ** 2 + ((y - 3) / 25) ** 2)
        on_tibia = 2.3 * thick * torch.sigmoid(rim * 30 / 1.5) * torch.sigmoid((x.abs() - 7) / 1.2)
        on_tibia = on_tibia * torch.sigmoid((z - plateau + 2) / 0.7)
        _lay_cartilage(canvas, tibia, on_tibia)
        on_patella = 3.0 * thick * torch.sigmoid((y + 47) / 1.5) * torch.sigmoid((38 - z) / 2)
        _lay_cartilage(canvas, patella, on_patella)
        # Menisci: wedges that fill the gap between the condyles and the plateau from the rim inwards.
        for side, (cy, ax, ay) in {1: (4.0, 15.0, 17.0), -1: (5.0, 16.0, 21.0)}.items():
            radial = torch.sqrt(((x - side * 20.5) / ax) ** 2 + ((y - cy) / ay) ** 2)
            opening = torch.where(y.abs() < 12, side * x - 10, side * x - 5)
            top = z - plateau - (2.2 + 8.5 * (radial - 0.5).clamp(0, 0.6))
            ring = meet((0.58 - radial) * ax, (radial - 1.08) * ax)
            lay("meniscus", meet(meet(ring, top), meet(-opening, plateau - z), 0.5))
        # Ligaments inside the notch.
        strand = 0.8 * grain
        lay("ligament", capsule(q, (-1, -9, -4), (9, 15, 20), (4.0, 4.4), (1.4, 1, 1)) + strand)
        pcl = join(
            capsule(q, (0, 27, -12), (-3, 19, 8), (3.4, 4.2)), capsule(q, (-3, 19, 8), (-8, -3, 12), (4.2, 4.6)), 3
        )
        lay("ligament", pcl + 0.4 * strand)
        # Fluid: a film on the articular surfaces, the recesses, and a suprapatellar pouch that grows with effusion.
        film = 0.1 + 0.65 * p.fluid
        joint_space = torch.maximum(femur - film - 2.3, -z - 8)
        joint_space = meet(joint_space, torch.maximum(z - 34, (y + 30) * -1))
        between = meet(ellipsoid(q, (0, 2, 0), (41, 29, 9)), meet(femur - 5.0, tibia - 5.0))
        pouch = ellipsoid(q, (2, -37 - 0.8 * p.fluid, 58), (20 + 2 * p.fluid, 0.3 + 1.4 * p.fluid, 20 + 2 * p.fluid))
        gutters = join(
            ellipsoid(q, (37, -6, 22), (0.2 + 1.3 * p.fluid, 16, 16)),
            ellipsoid(q, (-37, -6, 22), (0.2 + 1.2 * p.fluid, 16, 16)),
        )
        fluid = join(join(meet(joint_space, ellipsoid(q, (0, 6, 12), (40, 36, 27))), between), join(pouch, gutters), 2)
        fluid = fluid + 0.8 * wave[1]
        lay("fluid", fluid)
        if p.baker_cyst:
            lay("fluid", ellipsoid(q, (-18, 44, 2), (8, 7, p.baker_cyst)) + 1.5 * wave[0])
        lay("synovium", meet(fluid - 1.1, fluid + 3))
        lay("synovium", ellipsoid(q, (0, 8, 7), (9, 13, 10)) + 3 * wave[0])

    def _lay_soft_tissue(
        self, canvas: Canvas, q: Tensor, fascia: Tensor, grain_fine: Tensor, grain_mid: Tensor, wave: Tensor
    ) -> None:
        p, lay = self.parameters, canvas.lay
        # Extensor mechanism and collaterals.
        lay("tendon", capsule(q, (1, -58, 44), (0, -54, 130), (3.2, 3.4), (0.2, 1, 1)) + 0.3 * grain_mid)
        lay("tendon", capsule(q, (2, -57, 16), (0, -34, -38), (2.7, 3.0), (0.24, 1, 1)) + 0.3 * grain_mid)
        lay("ligament", capsule(q, (-38, 2, 24), (-33, -6, -48), (1.5, 1.4), (1, 0.16, 1)))
        lay("ligament", capsule(q, (37, 6, 22), (35, 20, -16), (2.0, 2.0)))
        lay("tendon", capsule(q, (38, -20, 70), (30, -24, -16), (1.1, 1.2), (1, 0.16, 1)))  # iliotibial band
        # Vessels and nerve of the popliteal fossa.
        lay("artery", capsule(q, (3, 31, 110), (2, 33, -110), (3.0, 2.6)))
        lay("vein", capsule(q, (-2, 38, 110), (-1, 39, -110), (3.6, 3.0)))
        lay("connective", capsule(q, (6, 46, 110), (3, 46, -110), (2.6, 2.4)))
        lay("vein", capsule(q, (-34, 48, 110), (-36, 40, -110), (1.6, 1.6)))  # great saphenous
        fascicle = self.grain(q + 5, (1.1, 1.1, 14.0))[0]
        bands = self.smooth(q + 23, (2.6, 2.6, 30.0))
        # Muscle fills the fascia away from the joint; gastrocnemius heads and hamstrings cross behind it.
        muscle = meet(fascia + 1.6 + 0.6 * wave[0], -fat_zone(q), 4)
        for start, end, radii, flat in MUSCLES:
            bulky = (radii[0] * p.muscle_bulk, radii[1] * p.muscle_bulk)
            muscle = join(muscle, capsule(q, start, end, bulky, flat) + 0.8 * wave[0], 1)
        muscle = meet(muscle, fascia + 0.8)
        # Planes of fat between muscle bellies, and streaks of fat along the fascicles.
        plane = torch.exp(-((self.smooth(q + 61, (13.0, 13.0, 70.0))[0] / 0.06) ** 2))
        streaks = 0.04 + 0.30 * (bands[0] - 1.5).clamp(0, 1) + 0.012 * fascicle + 0.8 * plane
        share = (1 - streaks.clamp(0, 0.9)) * (1 - 0.05 * grain_fine.abs()) * (1 - 0.05 * bands[1].abs())
        # What is not laid here as muscle is laid as fat afterwards, so that suppression darkens only that.
        canvas.put("muscle", canvas.inside(muscle) * share)


def _lay_cartilage(canvas: Canvas, bone: torch.Tensor, thickness: torch.Tensor) -> None:
    canvas.lay("cartilage_deep", bone - 0.45 * thickness)
    canvas.lay("cartilage_superficial", bone - thickness)


def _rotation(angles: tuple[float, float, float]) -> Tensor:
    """Rotation matrix of turns about x, then y, then z [rad]."""
    a, b, c = (torch.tensor(angle) for angle in angles)
    one, zero = torch.ones(()), torch.zeros(())
    about_x = torch.stack((one, zero, zero, zero, a.cos(), -a.sin(), zero, a.sin(), a.cos())).view(3, 3)
    about_y = torch.stack((b.cos(), zero, b.sin(), zero, one, zero, -b.sin(), zero, b.cos())).view(3, 3)
    about_z = torch.stack((c.cos(), -c.sin(), zero, c.sin(), c.cos(), zero, zero, zero, one)).view(3, 3)
    return about_z @ about_y @ about_x
