# SPDX-License-Identifier: Apache-2.0
"""What tells one random scene from another: its body, the regions in it and the solids in front of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

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
        threads=inside.value("threads"),
        streaks=_direction(inside),
        regions=tuple(_draw_stuff(inside, "stuff") for _ in range(max(int(inside.value("count")), 1))),
        solids=tuple(solids),
    )


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
