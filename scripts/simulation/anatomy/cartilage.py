# SPDX-License-Identifier: Apache-2.0
"""Articular cartilage of the standard right knee: layers of varying thickness on the bones.

Femoral and tibial layers are fitted to the real label map that `femur` names. Its patellar cartilage is thinner (mean
1.3 mm) than is published for healthy knees (2.8 mm, Eckstein 2001); ours keeps to the publication.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.anatomy.bones import Bones, facets
from scripts.simulation.anatomy.femur import FEMUR, Notch, fit_to, notch
from scripts.simulation.anatomy.joint import STANDARD, JointShape

UNDER = 1.0
"""How far [mm] the solids reach under the bone's surface, so that a bone laid first leaves no gap."""


@dataclass(frozen=True)
class Hill:
    """A place where a layer is thicker: centre, widths (standard deviations) and height [mm] over the base."""

    centre: tuple[float, float]
    width: tuple[float, float]
    height: float


@dataclass(frozen=True)
class Layer:
    """Thickness of one layer over two coordinates of its surface.

    Args:
        base: thickness [mm] away from the hills.
        hills: where it is thicker or thinner.
    """

    base: float
    hills: tuple[Hill, ...]


@dataclass(frozen=True)
class Oval:
    """An elliptic margin: centre and half axes [mm]."""

    centre: tuple[float, float]
    radii: tuple[float, float]


@dataclass(frozen=True)
class FemoralMargin:
    """Where femoral cartilage ends.

    Args:
        centre: y, z [mm] of the axis about which angles are measured, 0 downwards, positive to the back.
        front: angle [rad] of the upper end of the trochlea in the middle.
        front_side: growth of that angle per mm to the lateral side: the lateral facet reaches higher.
        back: angle [rad] of the upper end on the posterior condyles.
        medial: x [mm] of the medial end.
        lateral: x [mm] of the lateral end.
        groove: how much [mm] the sides come in per radian away from the angle of 0.
        notch: distance [mm] from the notch at which it ends.
    """

    centre: tuple[float, float] = (-8.0, 21.0)
    front: float = -1.9
    front_side: float = -0.01
    back: float = 2.2
    medial: float = -34.0
    lateral: float = 32.0
    groove: float = 2.0
    notch: float = 0.5


FEMORAL = Layer(
    base=-1.402,
    hills=(
        Hill(centre=(22.212, -1.475), width=(22.103, 0.333), height=2.12),
        Hill(centre=(-17.745, 0.386), width=(25.215, 12.309), height=3.552),
        Hill(centre=(25.958, 1.119), width=(14.049, 1.663), height=3.379),
    ),
)
FEMORAL_MARGIN = FemoralMargin(
    centre=(-0.162, 8.76),
    front=-2.058,
    front_side=-0.016,
    back=2.78,
    medial=-49.182,
    lateral=43.018,
    groove=6.525,
    notch=1.0,
)
MEDIAL_TIBIAL = Layer(
    base=-0.132,
    hills=(Hill(centre=(-14.876, -3.666), width=(11.258, 14.316), height=3.612),),
)
MEDIAL_MARGIN = Oval(centre=(-21.717, -9.393), radii=(16.213, 26.507))
LATERAL_TIBIAL = Layer(
    base=-0.21,
    hills=(Hill(centre=(13.403, 3.131), width=(10.832, 9.978), height=4.758),),
)
LATERAL_MARGIN = Oval(centre=(20.28, 12.006), radii=(17.323, 24.384))
PATELLAR = Layer(
    base=2.1,
    hills=(Hill(centre=(1.8, 31.0), width=(10.0, 9.0), height=1.3),),
)
PATELLAR_MARGIN = Oval(centre=(9.457, 32.38), radii=(20.0, 14.0))


@dataclass(frozen=True)
class Cartilage:
    """Signed distances [mm] ``(...)`` to the layers, and the depth in each, 0 at the bone to 1 at its surface.

    A solid reaches `UNDER` mm into its bone, so that laying the bone first leaves no gap; opposing layers share no
    point.
    """

    femoral: Tensor
    medial_tibial: Tensor
    lateral_tibial: Tensor
    patellar: Tensor
    femoral_depth: Tensor
    medial_tibial_depth: Tensor
    lateral_tibial_depth: Tensor
    patellar_depth: Tensor


def _thickness(u: Tensor, v: Tensor, layer: Layer) -> Tensor:
    thick = torch.zeros_like(u) + layer.base
    for hill in layer.hills:
        across = ((u - hill.centre[0]) / hill.width[0]).square() + ((v - hill.centre[1]) / hill.width[1]).square()
        thick = thick + hill.height * torch.exp(-0.5 * across)
    return thick


def _taper(thick: Tensor, inside: Tensor, over: float) -> Tensor:
    """Thickness that falls to zero at a margin, given the distance [mm] inside it, and is negative beyond."""
    full = 1 - (1 - inside.clamp_min(0) / over).clamp_min(0).square()
    return thick * full + inside.clamp(-3, 0)


def _oval(u: Tensor, v: Tensor, oval: Oval) -> Tensor:
    """Distance [mm] inside an elliptic margin, roughly."""
    a, b = (u - oval.centre[0]) / oval.radii[0], (v - oval.centre[1]) / oval.radii[1]
    level = (a.square() + b.square() + 1e-6).sqrt()
    slope = ((a / oval.radii[0]).square() + (b / oval.radii[1]).square() + 1e-6).sqrt()
    return level * (1 - level) / slope


def femoral_thickness(
    q: Tensor,
    layer: Layer = FEMORAL,
    margin: FemoralMargin = FEMORAL_MARGIN,
    tunnel: Notch = FEMUR.notch,
) -> Tensor:
    """Thickness [mm] of femoral cartilage at the surface next to points ``(3, ...)``; negative where there is none."""
    x, y, z = q
    angle = torch.atan2(y - margin.centre[0], margin.centre[1] - z)
    radius = 24.0  # mm, turns angles into lengths
    front = (angle - margin.front - margin.front_side * x) * radius
    inside = torch.minimum(front, (margin.back - angle) * radius)
    narrow = margin.groove * angle.abs()
    inside = torch.minimum(inside, torch.minimum(x - margin.medial, margin.lateral - x) - narrow)
    inside = torch.minimum(inside, notch(q, tunnel) - margin.notch)
    return _taper(_thickness(x, angle, layer), inside, 3.0)


def tibial_thickness(q: Tensor, height: Tensor, layer: Layer, margin: Oval) -> Tensor:
    """Thickness [mm] of tibial cartilage under points ``(3, ...)``; negative beyond its margin and below."""
    inside = torch.minimum(_oval(q[0], q[1], margin), q[2] - height + 2)
    return _taper(_thickness(q[0], q[1], layer), inside, 3.0)


def patellar_thickness(q: Tensor, layer: Layer = PATELLAR, margin: Oval = PATELLAR_MARGIN) -> Tensor:
    """Thickness [mm] of patellar cartilage at the surface next to points ``(3, ...)``; negative beyond its margin."""
    inside = torch.minimum(_oval(q[0], q[2], margin), facets(q) + 2.5)
    return _taper(_thickness(q[0], q[2], layer), inside, 3.0)


def cartilage(
    q: Tensor,
    bones: Bones,
    scale: float = 1.0,
    wave: Tensor | float = 0.0,
    joint: JointShape = STANDARD,
) -> Cartilage:
    """Layers of cartilage at points ``(3, ...)`` of the standard knee frame.

    Args:
        q: points [mm].
        bones: the bones at these points.
        scale: thickness, times the standard.
        wave: further relative change of the thickness, ``(...)``; 0.1 means a tenth thicker.
        joint: shape of the joint.
    """
    factor = scale * joint.cartilage * (1 + wave)
    raised = torch.stack((q[0], q[1], q[2] - joint.patella_height)) if joint.patella_height else q
    thick = {
        "femoral": femoral_thickness(q, tunnel=fit_to(joint).notch) * factor,
        "medial_tibial": tibial_thickness(q, bones.plateau, MEDIAL_TIBIAL, MEDIAL_MARGIN) * factor,
        "lateral_tibial": tibial_thickness(q, bones.plateau, LATERAL_TIBIAL, LATERAL_MARGIN) * factor,
        "patellar": patellar_thickness(raised) * factor,
    }
    bone = {
        "femoral": bones.femur,
        "medial_tibial": bones.tibia,
        "lateral_tibial": bones.tibia,
        "patellar": bones.patella,
    }
    surface = {name: bone[name] - thick[name] for name in thick}  # distance to the bone with its layer
    opposite = torch.minimum(surface["medial_tibial"], surface["lateral_tibial"])
    opposite = torch.minimum(
        torch.minimum(opposite, surface["patellar"]),
        torch.minimum(bones.tibia, bones.patella),
    )
    femoral = torch.minimum(surface["femoral"], bones.femur)
    layers = {}
    for name, outer in surface.items():
        # Where two layers meet, each has the points that lie deeper in it.
        other = opposite if name == "femoral" else femoral
        layers[name] = torch.maximum(torch.maximum(outer, -bone[name] - UNDER), (outer - other) / 2)
    depth = {f"{name}_depth": (bone[name] / thick[name].clamp_min(0.3)).clamp(0, 1) for name in thick}
    return Cartilage(**layers, **depth)
