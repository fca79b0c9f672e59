# SPDX-License-Identifier: Apache-2.0
"""Scenes that are no knee: random solids of real tissues under skin and fat, seen through the same physics.

A network that meets them learns how contrast and shading go together rather than where a knee has its bones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.anatomy.canvas import Canvas, Material, Sample
from scripts.simulation.anatomy.fields import RandomField, coarsely
from scripts.simulation.anatomy.shapes import capsule, ellipsoid, join
from scripts.simulation.ranges import Ranges
from scripts.simulation.tissue import COMPARTMENTS, INDEX

Vector = tuple[float, float, float]
TEXTURES = ("fine", "middle", "coarse", "streaks")
"""Random fields that stuff may be textured with: about a pixel, 2 mm, 8 mm, and drawn out along one direction."""
FORMS = ("bone", "blob", "rod", "sheet")
_PURE = tuple(tissue.name for tissue in COMPARTMENTS if tissue.density > 0)
# Stuff by name: what it may consist of; each entry is one choice of (main, admixed) compartments.
_STUFF: dict[str, tuple[tuple[str, str], ...]] = {
    "fat": (("subcutaneous_fat", "connective"),),
    "marrow": (("marrow_fat", "marrow_water"),),
    "muscle": (("muscle", "subcutaneous_fat"),),
    "fluid": (("fluid", "synovium"),),
    "cartilage": (("cartilage_superficial", "cartilage_deep"), ("cartilage_deep", "cartilage_superficial")),
    "dark": (("tendon", "synovium"), ("ligament", "tear_fluid"), ("meniscus", "tear_fluid"), ("cortex", "marrow_fat")),
    "soft": (
        ("synovium", "subcutaneous_fat"),
        ("connective", "subcutaneous_fat"),
        ("vein", "connective"),
    ),
    "oedema": (
        ("oedema_water", "marrow_fat"),
        ("marrow_fat", "oedema_water"),
        ("marrow_water", "marrow_fat"),
    ),
    "mixture": tuple((first, second) for first in _PURE for second in _PURE if first != second),
}


@dataclass(frozen=True)
class Stuff:
    """What a shape is made of.

    Args:
        main: the compartment it consists of mostly.
        admixed: the compartment mixed in.
        share: of the admixed compartment, 0..1.
        texture: one of `TEXTURES`.
        contrast: standard deviation of the admixed share over the texture, 0..1.
        loss: share that is void where the fine texture is strong, 0..1.
    """

    main: str
    admixed: str
    share: float
    texture: str
    contrast: float
    loss: float

    def __post_init__(self) -> None:
        for name in (self.main, self.admixed):
            if name not in INDEX:
                raise ValueError(f"Tissue {name!r} is unknown; choose one of {', '.join(INDEX)}.")
        if self.texture not in TEXTURES:
            raise ValueError(f"Texture {self.texture!r} is unknown; choose one of {', '.join(TEXTURES)}.")


@dataclass(frozen=True)
class Solid:
    """One shape of a scene.

    Args:
        form: one of `FORMS`.
        centre: where it lies [mm].
        axis: its long direction, unit length.
        length: half its length [mm].
        girth: its radius, or half the thickness of a sheet [mm].
        rough: amplitude of its surface's unevenness [mm].
        soft: width over which it fades into its surroundings [mm], 0 for a sharp surface.
        shell: thickness of a dark shell [mm], 0 for none.
        layer: thickness of the layer on one side of it [mm], 0 for none.
        stuff: what fills it.
        coat: what the layer is made of.
    """

    form: str
    centre: Vector
    axis: Vector
    length: float
    girth: float
    rough: float
    soft: float
    shell: float
    layer: float
    stuff: Stuff
    coat: Stuff

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"Form {self.form!r} is unknown; choose one of {', '.join(FORMS)}.")
        if min(self.length, self.girth) <= 0 or min(self.rough, self.soft, self.shell, self.layer) < 0:
            raise ValueError(f"A {self.form} needs sizes above zero and thicknesses of at least zero, in mm: {self}.")


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
    streaks: Vector
    regions: tuple[Stuff, ...]
    solids: tuple[Solid, ...]

    def __post_init__(self) -> None:
        if not self.regions or min(*self.radii, self.cell) <= 0 or min(self.skin, self.fat, self.film, self.rough) < 0:
            raise ValueError("A scene needs a region, radii and cells above zero, and thicknesses of at least zero.")


def draw_shapes(ranges: Ranges) -> ShapesParameters:
    """Draw one scene from a preset's section ``shapes``."""
    body, inside = ranges.section("body"), ranges.section("inside")
    centre = (body.value("shift"), body.value("shift"), body.value("shift"))
    radii = (body.value("across"), body.value("across"), body.value("along"))
    solids: list[Solid] = []
    for form in FORMS:
        section = ranges.section(form)
        for number in range(int(section.value("count"))):
            own = Ranges(section.spec, section.seed, f"{section.path}/{number}")
            solids.append(_draw_solid(form, own, ranges, centre, radii))
    order = torch.rand(len(solids), generator=inside.generator).tolist()
    # Bones lie behind what lies on them; small things in front of large ones, or they would never be seen.
    solids = [solid for _, solid in sorted(zip(order, solids, strict=True), key=lambda one: _depth(*one))]
    return ShapesParameters(
        seed=int(torch.randint(2**31, (), generator=inside.generator)),
        turn=_direction(body, toward=(0.0, 0.0, 3.0)),
        centre=centre,
        radii=radii,
        rough=body.value("rough"),
        skin=body.value("skin"),
        fat=body.value("fat"),
        septa=body.value("septa"),
        cell=inside.value("cell"),
        film=inside.value("film") if inside.happens("film_chance") else 0.0,
        between=_draw_stuff(inside, "film_stuff"),
        streaks=_direction(inside),
        regions=tuple(_draw_stuff(inside, "stuff") for _ in range(max(int(inside.value("count")), 1))),
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
        lobules = (web.abs().min(0).values / 0.10).square()
        walls = (p.septa * (0.5 + 0.2 * wave) * torch.exp(-lobules)).clamp(0, 0.9)
        layer = p.skin + p.fat * (1 + 0.25 * wide)
        fat: Material = {"subcutaneous_fat": (0.97 - 0.02 * grain.abs()) * (1 - walls), "connective": walls}
        if p.fat > 0:
            canvas.lay("subcutaneous_fat", -(outline + layer), fat)
            canvas.lay("fascia", -(outline + layer + 0.5), {"connective": 0.8})
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


def _draw_stuff(ranges: Ranges, name: str) -> Stuff:
    kind = ranges.choose(name)
    if kind not in _STUFF:
        raise ValueError(f"{ranges.path}/{name} has no {kind!r}; choose among {', '.join(_STUFF)}.")
    choices = _STUFF[kind]
    main, admixed = choices[int(torch.randint(len(choices), (), generator=ranges.generator))]
    mixed = kind == "mixture"
    texture = "streaks" if kind == "muscle" and ranges.uniform() < 0.7 else ranges.choose("texture")
    return Stuff(
        main,
        admixed,
        share=ranges.uniform(0, 0.6) if mixed else ranges.value("admixed"),
        texture=texture,
        contrast=(2.5 if mixed else 1.0) * ranges.value("contrast"),
        loss=ranges.value("loss"),
    )


def _draw_solid(form: str, own: Ranges, scene: Ranges, centre: Vector, radii: Vector) -> Solid:
    length, slender = own.value("length"), own.value("slender")
    place = tuple(c + 0.8 * min(r, 70.0) * own.uniform(-1, 1) for c, r in zip(centre, radii, strict=True))
    stuff = Ranges({**scene.spec["inside"], **own.spec}, own.seed, f"{own.path}/stuff")
    return Solid(
        form=form,
        centre=(place[0], place[1], place[2]),
        axis=_direction(own),
        length=length,
        girth=length * slender,
        rough=own.value("rough"),
        soft=own.value("soft") if own.happens("soft_chance") else 0.0,
        shell=own.value("shell") if own.happens("shell_chance") else 0.0,
        layer=own.value("layer") if own.happens("layer_chance") else 0.0,
        stuff=_draw_stuff(stuff, "stuff"),
        coat=_draw_stuff(stuff, "coat"),
    )


def _depth(order: float, solid: Solid) -> float:
    return min(solid.girth, solid.length) * (0.5 + order)


def _direction(ranges: Ranges, toward: Vector = (0.0, 0.0, 0.0)) -> Vector:
    vector = torch.randn(3, generator=ranges.generator) + torch.tensor(toward)
    x, y, z = (vector / vector.square().sum().sqrt().clamp_min(1e-6)).tolist()
    return (x, y, z)


def _perpendicular(axis: Vector) -> Vector:
    x, y, z = axis
    a, b, c = (0.0, z, -y) if abs(x) < 0.7 else (-z, 0.0, x)
    length = math.sqrt(a * a + b * b + c * c)
    return (a / length, b / length, c / length)


def _column(values: Vector, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(3, *([1] * (like.ndim - 1)))
