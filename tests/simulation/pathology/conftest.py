# SPDX-License-Identifier: Apache-2.0
"""A standard knee, sampled where lesions are looked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor

from scripts.simulation.anatomy.canvas import Sample
from scripts.simulation.anatomy.frame import Pose
from scripts.simulation.anatomy.knee import Knee
from scripts.simulation.anatomy.parameters import KneeParameters
from scripts.simulation.pathology.base import KneeSolids, LesionParameters, LocalLesion
from scripts.simulation.pathology.catalogue import lesion_of
from scripts.simulation.pathology.masses import Metal
from scripts.simulation.pathology.tears import MeniscalTear

STANDARD = KneeParameters(seed=5, pose=Pose((1.0, 1.0, 1.0), True, 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), bend=0.0))
"""A left knee lies in the scanner as the standard knee lies in its own frame, so that points are q."""


@dataclass(frozen=True)
class Sheet:
    """A healthy sheet, the points in the standard frame and the bones there."""

    sample: Sample
    q: Tensor
    bones: KneeSolids

    def with_lesion(self, parameters: LesionParameters) -> Sample:
        return lesion_of(parameters).apply(self.sample, self.q, self.bones)


class _Witness:
    """Keeps what a knee hands to its lesions."""

    def apply(self, sample: Sample, q: Tensor, knee: KneeSolids) -> Sample:
        self.seen = Sheet(sample, q, knee)
        return sample


@cache
def _sheet(plane: str, at: float, size: int, spacing: float) -> Sheet:
    line = (torch.arange(size) - size / 2 + 0.5) * spacing
    down, right = torch.meshgrid(line, line, indexing="ij")
    here = torch.full_like(right, at)
    planes = {
        "sagittal": (here, right, -down),
        "coronal": (right, here, -down),
        "axial": (right, down, here),
    }
    witness = _Witness()
    Knee(STANDARD, [witness]).sample(torch.stack(planes[plane]), spacing)  # type: ignore[list-item]
    return witness.seen


@pytest.fixture(scope="session")
def sheet() -> Callable[..., Sheet]:
    """Sheets of the standard knee: plane, position [mm], and size and spacing if others are needed."""

    def sampled(plane: str, at: float, size: int = 160, spacing: float = 0.9) -> Sheet:
        return _sheet(plane, at, size, spacing)

    return sampled


@pytest.fixture(scope="session")
def through(sheet: Callable[..., Sheet]) -> Callable[[LesionParameters], Sheet]:
    """A sheet through the middle of a lesion, in the plane that shows it best."""

    def sampled(parameters: LesionParameters) -> Sheet:
        name, place = parameters.name, parameters.place
        lesion = lesion_of(parameters)
        assert isinstance(lesion, LocalLesion)
        x, y, z = lesion.centre
        if isinstance(lesion, Metal):
            piece = lesion.pieces[0]
            return sheet("coronal", (piece.start[1] + piece.end[1]) / 2)
        if isinstance(lesion, MeniscalTear):
            _, broad, deep = lesion.place.direction
            x += math.copysign(0.8 * broad * math.cos(lesion.angle), x)
            y += 0.8 * deep * math.sin(lesion.angle)
            return sheet("coronal", y) if "body" in place else sheet("sagittal", x)
        if name == "effusion":
            return sheet("axial", 22.0)
        if name == "lipohaemarthrosis":
            return sheet("sagittal", 6.0)
        if name in ("lipoma", "baker_cyst") or "patella" in place or "troch" in place:
            return sheet("axial", z)
        return sheet("coronal", y) if "collateral" in place else sheet("sagittal", x)

    return sampled
