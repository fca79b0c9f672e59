# SPDX-License-Identifier: Apache-2.0
"""Solids of random form, made of random stuff: what a scene that is no knee is put together from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scripts.simulation.anatomy.canvas import Material
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

    def material(self, textures: Mapping[str, Tensor]) -> Material:
        """Its compartments, given the fields ``(...)`` of unit variance that `TEXTURES` names."""
        admixed = (self.share + self.contrast * textures[self.texture]).clamp(0, 1)
        whole = (1 - self.loss * textures["fine"].abs()).clamp(0.2, 1)
        return {self.main: whole * (1 - admixed), self.admixed: whole * admixed}


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

    @property
    def reach(self) -> float:
        """Distance [mm] from the centre beyond which there is nothing of it."""
        return self.length + 1.1 * self.girth + 3 * self.rough + self.soft + 1.5 * self.layer

    def offset(self, points: Tensor) -> Tensor:
        """Points ``(3, ...)`` relative to the centre [mm]."""
        return points - column(self.centre, points)

    def aside(self, points: Tensor) -> Tensor:
        """Distance [mm] of points from the centre, across the axis to the side on which the layer lies."""
        return (self.offset(points) * column(perpendicular(self.axis), points)).sum(0)

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance [mm] of points ``(3, ...)`` to its even surface."""
        pairs = list(zip(self.centre, self.axis, strict=True))
        first, last = ([c + half * a for c, a in pairs] for half in (-self.length, self.length))
        if self.form == "rod":
            return capsule(points, first, last, (self.girth, 0.7 * self.girth))
        offset = self.offset(points)
        squared, along = offset.square().sum(0), (offset * column(self.axis, points)).sum(0)
        if self.form == "sheet":
            return torch.maximum((along - 0.004 * squared).abs() - self.girth, squared.sqrt() - self.length)
        across = squared - along.square()
        level = (across / self.girth**2 + (along / self.length).square()).clamp_min(1e-9).sqrt()
        gradient = (across / self.girth**4 + along.square() / self.length**4).clamp_min(1e-12).sqrt()
        body = level * (level - 1) / gradient
        if self.form == "blob":
            return body
        # A bone widens to a knob at one end.
        return join(body, ellipsoid(points, last, (1.1 * self.girth,) * 3), 0.6 * self.girth)


def draw_stuff(ranges: Ranges, name: str) -> Stuff:
    """Draw what something is made of: its kind by the weights of the entry ``name``, then its mixture."""
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


def draw_solid(form: str, own: Ranges, inside: Mapping[str, Any], centre: Vector, radii: Vector) -> Solid:
    """Draw one solid.

    Args:
        form: one of `FORMS`.
        own: ranges of the form; a stream for this solid alone.
        inside: the scene's section ``inside``, for what the form does not say of its stuff.
        centre: of the body [mm].
        radii: of the body [mm].
    """
    length, slender = own.value("length"), own.value("slender")
    place = tuple(c + 0.8 * min(r, 70.0) * own.uniform(-1, 1) for c, r in zip(centre, radii, strict=True))
    stuff = Ranges({**inside, **own.spec}, own.seed, f"{own.path}/stuff")
    return Solid(
        form=form,
        centre=(place[0], place[1], place[2]),
        axis=draw_direction(own),
        length=length,
        girth=length * slender,
        rough=own.value("rough"),
        soft=own.value("soft") if own.happens("soft_chance") else 0.0,
        shell=own.value("shell") if own.happens("shell_chance") else 0.0,
        layer=own.value("layer") if own.happens("layer_chance") else 0.0,
        stuff=draw_stuff(stuff, "stuff"),
        coat=draw_stuff(stuff, "coat"),
    )


def draw_direction(ranges: Ranges, toward: Vector = (0.0, 0.0, 0.0)) -> Vector:
    """Draw a unit vector: any direction, or one around ``toward`` if that is longer than one."""
    vector = torch.randn(3, generator=ranges.generator) + torch.tensor(toward)
    x, y, z = (vector / vector.square().sum().sqrt().clamp_min(1e-6)).tolist()
    return (x, y, z)


def perpendicular(axis: Vector) -> Vector:
    """A unit vector across another."""
    x, y, z = axis
    a, b, c = (0.0, z, -y) if abs(x) < 0.7 else (-z, 0.0, x)
    length = math.sqrt(a * a + b * b + c * c)
    return (a / length, b / length, c / length)


def column(values: Vector, like: Tensor) -> Tensor:
    """A vector as a tensor ``(3, 1, ...)`` that broadcasts with points."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(3, *([1] * (like.ndim - 1)))
