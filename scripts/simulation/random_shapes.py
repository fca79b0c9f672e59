# SPDX-License-Identifier: Apache-2.0
"""Scenes that are no knee: random solids of real tissues under skin and fat, seen through the same physics.

A network that meets them learns how contrast and shading go together rather than where a knee has its bones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scripts.simulation.anatomy.canvas import Canvas, Material, Sample
from scripts.simulation.anatomy.fields import RandomField, coarsely
from scripts.simulation.anatomy.shapes import capsule, ellipsoid, join
from scripts.simulation.shapes_parameters import ShapesParameters, Solid, Stuff, Vector


class RandomShapes:
    """A random scene, ready to be scanned.

    Args:
        parameters: what was drawn.
    """

    def __init__(self, parameters: ShapesParameters) -> None:
        self.parameters = parameters
        generator = torch.Generator().manual_seed(parameters.seed)
        self._regions = RandomField(generator, nodes=8, channels=len(parameters.regions), smooth=True)
        self._smooth = RandomField(generator, nodes=12, channels=2, smooth=True)
        self._rough = RandomField(generator, nodes=40, channels=1)

    def sample(self, points: Tensor, edge: float) -> Sample:
        """What is found at ``points`` ``(3, ...)``, LPS [mm]; boundaries are spread over ``edge`` [mm]."""
        p = self.parameters
        canvas = Canvas(points[0], edge)
        slow = coarsely(self._slow, points, 2)
        outline, wave, wide, web = slow[0], slow[1], slow[2], slow[3:5]
        grain = self._rough(points, (0.6, 0.6, 0.8))[0]
        middle = coarsely(lambda at: self._smooth(at + 31, (2.2,) * 3), points, 1 if edge > 0.9 else 2)
        along = _column(p.streaks, points)
        drawn_out = points - 0.94 * (points * along).sum(0) * along
        textures = {
            "fine": grain,
            "middle": middle[0],
            "coarse": wave,
            "streaks": self._rough(drawn_out, (1.3,) * 3)[0],
        }

        canvas.lay("background", -outline, {"air": 1.0})
        canvas.lay("skin", -(outline + p.skin), {"skin": 1.0})
        for solid in p.solids:
            self._lay(canvas, solid, points, outline, wave, middle[1], textures)
        walls = torch.exp(-((web.abs().min(0).values / 0.10).square()))
        threads = torch.exp(-((web.square().sum(0)) / 0.16**2))
        septa = (p.septa * (0.5 + 0.2 * wave) * walls).clamp(0, 0.9)
        layer = p.skin + p.fat * (1 + 0.25 * wide)
        fat: Material = {"subcutaneous_fat": (0.97 - 0.02 * grain.abs()) * (1 - septa), "connective": septa}
        if p.fat > 0:
            canvas.lay("subcutaneous_fat", -(outline + layer), fat)
            canvas.lay("fascia", -(outline + layer + 0.5), {"connective": 0.8})
        if p.threads > 0:
            among = p.threads * torch.maximum(threads, 0.6 * walls * torch.sigmoid(3 * wide))
            canvas.put("shape", among, _material(p.between, textures))
        self._lay_regions(canvas, slow[5:], textures)
        return canvas.finish()

    def _slow(self, points: Tensor) -> Tensor:
        """Outline of the body [mm], three smooth fields, two of lobules, and those of the regions."""
        p = self.parameters
        wide, wave = self._smooth(points, (26.0,) * 3), self._smooth(points + 17, (8.0,) * 3)
        offset = points - _column(p.centre, points)
        axis = _column(p.turn, points)
        height = (offset * axis).sum(0)
        across = offset - height * axis
        # The half-axis across changes with the direction around the long axis, smoothly.
        first = _column(_perpendicular(p.turn), points)
        x = (across * first).sum(0)
        y = (across.square().sum(0) - x.square()).clamp_min(0).sqrt()
        scaled = torch.stack((x, y, height))
        outline = ellipsoid(scaled, (0, 0, 0), p.radii) + p.rough * (wide[0] + 0.2 * wave[1])
        web = self._smooth(points + 71, (4.5, 4.5, 5.0))
        bent = points + 3 * wave[1]
        regions = self._regions(bent, (p.cell,) * 3) + 0.15 * wave[:1]
        return torch.cat((outline[None], wave[:1], wide[1:], web, regions))

    def _lay(
        self, canvas: Canvas, solid: Solid, points: Tensor, outline: Tensor, wave: Tensor, fine: Tensor,
        textures: dict[str, Tensor],
    ) -> None:  # fmt: skip
        reach = solid.length + solid.girth + 2 * solid.rough + solid.soft + solid.layer
        sparse = points[..., ::16, ::16] if points.ndim >= 3 else points
        pixel = float((points[..., -1] - points[..., 0]).square().sum(0).max().sqrt()) / max(points.shape[-1] - 1, 1)
        nearest = float((sparse - _column(solid.centre, points)).square().sum(0).min().sqrt())
        if nearest > reach + 24 * pixel:
            return
        distance = _distance(solid, points) + solid.rough * (0.8 * wave + 0.2 * fine)
        distance = torch.maximum(distance, outline + self.parameters.skin + 0.5)
        filling = _material(solid.stuff, textures)
        if solid.soft > 0:
            fading = (0.5 - distance / solid.soft).clamp(0, 1)
            canvas.put("shape", fading.square() * (3 - 2 * fading), filling)
            return
        canvas.lay("shape", distance + solid.shell * (1 + 0.25 * fine), filling)
        if solid.shell > 0:
            canvas.lay("shape", distance, {"cortex": 1.0})
        if solid.layer > 0:
            side = ((points - _column(solid.centre, points)) * _column(_perpendicular(solid.axis), points)).sum(0)
            thickness = solid.layer * torch.sigmoid(side / 2.5) * (1 + 0.2 * wave)
            canvas.lay("shape", distance - thickness, _material(solid.coat, textures))

    def _lay_regions(self, canvas: Canvas, regions: Tensor, textures: dict[str, Tensor]) -> None:
        p = self.parameters
        millimetres = p.cell / 1.3  # the fields' difference changes by about 1.3 over a cell
        if len(p.regions) > 1:
            best = regions.topk(2, dim=0).values
            apart = (best[0] - best[1]) * millimetres
            if p.film > 0:
                canvas.lay("shape", apart - p.film / 2, _material(p.between, textures))
        weights = torch.softmax(regions * (4 * millimetres / max(canvas.edge, 0.1)), dim=0)
        left = canvas.left
        for weight, stuff in zip(weights, p.regions, strict=True):
            # What was laid before leaves less; the share is of what is left now.
            canvas.put("shape", (weight * left / canvas.left.clamp_min(1e-6)).clamp(0, 1), _material(stuff, textures))


def _distance(solid: Solid, points: Tensor) -> Tensor:
    """Distance [mm] to a solid's plain form."""
    ends = [
        tuple(c + sign * solid.length * a for c, a in zip(solid.centre, solid.axis, strict=True)) for sign in (-1, 1)
    ]
    if solid.form == "rod":
        return capsule(points, ends[0], ends[1], (solid.girth, 0.7 * solid.girth))
    offset = points - _column(solid.centre, points)
    along = (offset * _column(solid.axis, points)).sum(0)
    if solid.form == "sheet":
        bow = 0.004 * offset.square().sum(0)
        rim = offset.square().sum(0).sqrt() - solid.length
        return torch.maximum((along - bow).abs() - solid.girth, rim)
    stretched = offset.square().sum(0) - along.square()
    level = (stretched / solid.girth**2 + (along / solid.length) ** 2).clamp_min(1e-9).sqrt()
    gradient = (stretched / solid.girth**4 + along.square() / solid.length**4).clamp_min(1e-12).sqrt()
    body = level * (level - 1) / gradient
    if solid.form == "blob":
        return body
    # A bone widens to a knob at one end.
    return join(body, ellipsoid(points, ends[1], (1.1 * solid.girth,) * 3), 0.6 * solid.girth)


def _material(stuff: Stuff, textures: dict[str, Tensor]) -> Material:
    texture = textures[stuff.texture]
    admixed = (stuff.share + stuff.contrast * texture).clamp(0, 1)
    whole = (1 - stuff.loss * textures["fine"].abs()).clamp(0.2, 1)
    return {stuff.main: whole * (1 - admixed), stuff.admixed: whole * admixed}


def _perpendicular(axis: Vector) -> Vector:
    x, y, z = axis
    a, b, c = (0.0, z, -y) if abs(x) < 0.7 else (-z, 0.0, x)
    length = math.sqrt(a * a + b * b + c * c)
    return (a / length, b / length, c / length)


def _column(values: Vector, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(3, *([1] * (like.ndim - 1)))
