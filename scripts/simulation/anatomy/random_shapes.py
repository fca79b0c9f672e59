# SPDX-License-Identifier: Apache-2.0
"""Scenes that are no knee: random solids of real tissues under skin and fat, seen through the same physics.

A network that meets them learns how contrast and shading go together rather than where a knee has its bones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.anatomy.canvas import Canvas, Material, Sample
from scripts.simulation.anatomy.fields import RandomField, coarsely
from scripts.simulation.anatomy.random_solids import (
    FORMS,
    Solid,
    Stuff,
    Vector,
    column,
    draw_direction,
    draw_solid,
    draw_stuff,
    perpendicular,
)
from scripts.simulation.anatomy.shapes import ellipsoid
from scripts.simulation.ranges import Ranges


@dataclass(frozen=True)
class ShapesParameters:
    """One random scene.

    Args:
        seed: of its fields.
        turn: direction of the body's long axis, unit length.
        centre: of the body [mm].
        radii: half-axes of the body across and along its long axis [mm].
        rough: unevenness of the outline [mm].
        skin: its thickness [mm].
        fat: thickness of the fat under the skin [mm].
        septa: strength of the septa in that fat, 0..1.
        cell: size of the regions inside [mm].
        film: thickness of what parts the regions [mm], 0 for none.
        between: what the film is made of.
        threads: share of the same that runs as thin walls and threads through the regions, 0..1.
        streaks: direction of streaks, unit length.
        regions: what the regions are made of.
        solids: shapes in front of the regions, the first in front of all.
    """

    seed: int
    turn: Vector
    centre: Vector
    radii: Vector
    rough: float
    skin: float
    fat: float
    septa: float
    cell: float
    film: float
    between: Stuff
    threads: float
    streaks: Vector
    regions: tuple[Stuff, ...]
    solids: tuple[Solid, ...]

    def __post_init__(self) -> None:
        if not self.regions or min(*self.radii, self.cell) <= 0 or min(self.skin, self.fat, self.film, self.rough) < 0:
            raise ValueError("A scene needs a region, radii and cells above zero, and thicknesses of at least zero.")


def draw_shapes(ranges: Ranges, seed: int) -> ShapesParameters:
    """Draw one scene.

    Args:
        ranges: the preset's section ``shapes``.
        seed: of the scene's fields: its outline and textures.
    """
    body, inside = ranges.section("body"), ranges.section("inside")
    centre = (body.value("shift"), body.value("shift"), body.value("shift"))
    radii = (body.value("across"), body.value("across"), body.value("along"))
    solids: list[Solid] = []
    for form in FORMS:
        section = ranges.section(form)
        for number in range(int(section.value("count"))):
            own = Ranges(section.spec, section.seed, f"{section.path}/{number}")
            solids.append(draw_solid(form, own, inside.spec, centre, radii))
    order = torch.rand(len(solids), generator=inside.generator).tolist()
    # Bones lie behind what lies on them; small things in front of large ones, or they would never be seen.
    solids = [solid for _, solid in sorted(zip(order, solids, strict=True), key=lambda one: _depth(*one))]
    return ShapesParameters(
        seed=seed,
        turn=draw_direction(body, toward=(0.0, 0.0, 3.0)),
        centre=centre,
        radii=radii,
        rough=body.value("rough"),
        skin=body.value("skin"),
        fat=body.value("fat"),
        septa=body.value("septa"),
        cell=inside.value("cell"),
        film=inside.value("film") if inside.happens("film_chance") else 0.0,
        between=draw_stuff(inside, "film_stuff"),
        threads=inside.value("threads"),
        streaks=draw_direction(inside),
        regions=tuple(draw_stuff(inside, "stuff") for _ in range(max(int(inside.value("count")), 1))),
        solids=tuple(solids),
    )


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
        along = column(p.streaks, points)
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
            canvas.put("shape", among, p.between.material(textures))
        self._lay_regions(canvas, slow[5:], textures)
        return canvas.finish()

    def _slow(self, points: Tensor) -> Tensor:
        """Outline of the body [mm], three smooth fields, two of lobules, and those of the regions."""
        p = self.parameters
        wide, wave = self._smooth(points, (26.0,) * 3), self._smooth(points + 17, (8.0,) * 3)
        offset = points - column(p.centre, points)
        axis = column(p.turn, points)
        height = (offset * axis).sum(0)
        across = offset - height * axis
        # The half-axis across changes with the direction around the long axis, smoothly.
        first = column(perpendicular(p.turn), points)
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
        sparse = points[..., ::16, ::16] if points.ndim >= 3 else points
        pixel = float((points[..., -1] - points[..., 0]).square().sum(0).max().sqrt()) / max(points.shape[-1] - 1, 1)
        nearest = float(solid.offset(sparse).square().sum(0).min().sqrt())
        if nearest > solid.reach + 24 * pixel:
            return
        distance = solid.distance(points) + solid.rough * (0.8 * wave + 0.2 * fine)
        distance = torch.maximum(distance, outline + self.parameters.skin + 0.5)
        filling = solid.stuff.material(textures)
        if solid.soft > 0:
            fading = (0.5 - distance / solid.soft).clamp(0, 1)
            canvas.put("shape", fading.square() * (3 - 2 * fading), filling)
            return
        canvas.lay("shape", distance + solid.shell * (1 + 0.25 * fine), filling)
        if solid.shell > 0:
            canvas.lay("shape", distance, {"cortex": 1.0})
        if solid.layer > 0:
            thickness = solid.layer * torch.sigmoid(solid.aside(points) / 2.5) * (1 + 0.2 * wave)
            canvas.lay("shape", distance - thickness, solid.coat.material(textures))

    def _lay_regions(self, canvas: Canvas, regions: Tensor, textures: dict[str, Tensor]) -> None:
        p = self.parameters
        millimetres = p.cell / 1.3  # the fields' difference changes by about 1.3 over a cell
        if len(p.regions) > 1 and p.film > 0:
            best = regions.topk(2, dim=0).values
            apart = (best[0] - best[1]) * millimetres
            canvas.lay("shape", apart - p.film / 2, p.between.material(textures))
        weights = torch.softmax(regions * (4 * millimetres / max(canvas.edge, 0.1)), dim=0)
        left = canvas.left
        for weight, stuff in zip(weights, p.regions, strict=True):
            # What was laid before leaves less; the share is of what is left now.
            canvas.put("shape", (weight * left / canvas.left.clamp_min(1e-6)).clamp(0, 1), stuff.material(textures))


def _depth(order: float, solid: Solid) -> float:
    return min(solid.girth, solid.length) * (0.5 + order)
