# SPDX-License-Identifier: Apache-2.0
"""What a lesion is: a change of the shares at some points of an otherwise identical knee, and of nothing else."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from scripts.simulation.anatomy.canvas import Sample
from scripts.simulation.anatomy.fields import RandomField
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.pathology.places import PLACES, Place
from scripts.simulation.tissue import INDEX

EDGE = 0.5
"""Width [mm] over which a lesion's sharp boundary is spread."""
TINY = 1e-6
"""A smaller change of a point's shares is none, so that the mask holds every change."""


class KneeSolids(Protocol):
    """What lesions ask of the knee: signed distances [mm] to its bones at the sampled points, negative inside."""

    @property
    def femur(self) -> Tensor:
        """Distance to the femur."""
        ...

    @property
    def tibia(self) -> Tensor:
        """Distance to the tibia."""
        ...

    @property
    def patella(self) -> Tensor:
        """Distance to the patella."""
        ...


@dataclass(frozen=True)
class LesionParameters:
    """One lesion, as it is drawn and recorded.

    Args:
        name: the kind of lesion, a key of `PLACES`.
        place: where it is, one of the kind's places.
        size_mm: extent [mm]; what it measures is said by each kind. 0 leaves it out.
        strength: how marked it is, 0 (left out) to 1; what it scales is said by each kind.
        seed: of its outline, texture and exact position.
    """

    name: str
    place: str
    size_mm: float
    strength: float
    seed: int

    def __post_init__(self) -> None:
        if self.name not in PLACES:
            raise ValueError(f"Lesion {self.name!r} is unknown; choose one of {', '.join(PLACES)}.")
        if self.place not in PLACES[self.name]:
            raise ValueError(
                f"A lesion {self.name!r} has no place {self.place!r}; choose one of {', '.join(PLACES[self.name])}."
            )
        if not 0 <= self.size_mm < math.inf:
            raise ValueError(f"Lesion {self.name!r} has a size of {self.size_mm:g} mm; need 0 or more, in mm.")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"Lesion {self.name!r} has a strength of {self.strength:g}; need 0 to 1.")


class Lesion(Protocol):
    """A switchable change of a sampled knee."""

    @property
    def parameters(self) -> LesionParameters:
        """What was drawn."""
        ...

    def apply(self, sample: Sample, q: Tensor, knee: KneeSolids) -> Sample:
        """The sample with the lesion in it.

        Args:
            sample: what the knee holds; it is left as it is.
            q: the sampled points in the frame of the standard knee ``(3, ...)`` [mm].
            knee: the bones at these points.

        Returns:
            Shares, labels and ``lesion`` with this lesion; where it is not, they are the given ones bit for bit.
        """
        ...


class Patch:
    """The points of a sample near a lesion, to be changed in place.

    Args:
        q: points ``(3, N)`` [mm].
        shares: of the compartments, ``(C, N)``.
        labels: uint8 ``(N,)``.
        bones: distances to femur, tibia and patella ``(3, N)`` [mm].
    """

    def __init__(self, q: Tensor, shares: Tensor, labels: Tensor, bones: Tensor) -> None:
        self.q, self.shares, self.labels = q, shares, labels
        self.femur, self.tibia, self.patella = bones

    def labelled(self, *structures: str) -> Tensor:
        """1.0 where the points lie in one of the structures, 0.0 elsewhere."""
        inside = torch.zeros_like(self.labels, dtype=torch.bool)
        for name in structures:
            inside |= self.labels == LABEL[name]
        return inside.to(self.q.dtype)

    def share(self, *compartments: str) -> Tensor:
        """Share of the points that the compartments hold, 0..1."""
        return self.shares[[INDEX[name] for name in compartments]].sum(0)

    def replace(
        self, weight: Tensor, taken: Sequence[str], by: Mapping[str, float], label: str | None = None
    ) -> Tensor:
        """Turn ``weight`` (0..1) of what some compartments hold into others.

        Args:
            weight: share to be replaced, ``(N,)``; where it is 0 nothing changes.
            taken: the compartments that lose it.
            by: the compartments that get it, shares with a sum of one.
            label: structure of the points of which more than half is replaced; none leaves their label.

        Returns:
            The share of each point that was replaced.
        """
        index = [INDEX[name] for name in taken]
        moved = self.shares[index] * weight.clamp(0, 1)
        self.shares[index] -= moved
        total = moved.sum(0)
        for name, part in by.items():
            self.shares[INDEX[name]] += total * part
        if label is not None:
            self.labels[total > 0.5] = LABEL[label]
        return total


class LocalLesion(ABC):
    """A lesion within a ball around its place; kinds say in `change` what it does there.

    Args:
        parameters: what was drawn.
    """

    def __init__(self, parameters: LesionParameters) -> None:
        self.parameters = parameters
        self.generator = torch.Generator().manual_seed(parameters.seed)
        self.place: Place = PLACES[parameters.name][parameters.place]
        shift = torch.randn(3, generator=self.generator).clamp(-1.5, 1.5).tolist()
        x, y, z = (c + s * d for c, s, d in zip(self.place.centre, self.place.spread, shift, strict=True))
        self.centre: tuple[float, float, float] = (x, y, z)

    @property
    def size(self) -> float:
        """Extent [mm]."""
        return self.parameters.size_mm

    @property
    def strength(self) -> float:
        """How marked it is, 0..1."""
        return self.parameters.strength

    @property
    def reach(self) -> float:
        """Radius [mm] of the ball around the centre beyond which nothing changes."""
        return 1.0 * self.size + 4

    @cached_property
    def field(self) -> RandomField:
        """What roughens and textures it; made when first needed, since most sheets miss a lesion."""
        return RandomField(torch.Generator().manual_seed(self.parameters.seed + 1), nodes=6, channels=3, smooth=True)

    @abstractmethod
    def change(self, patch: Patch) -> None:
        """Put the lesion into the points near it."""

    def apply(self, sample: Sample, q: Tensor, knee: KneeSolids) -> Sample:
        """See `Lesion.apply`."""
        if self.size == 0 or self.strength == 0:
            return sample
        near = self.distance(q) < self.reach
        if not bool(near.any()):
            return sample
        before = sample.shares[:, near]
        bones = torch.stack((knee.femur[near], knee.tibia[near], knee.patella[near]))
        patch = Patch(q[:, near], before.clone(), sample.labels[near], bones)
        self.change(patch)
        changed = (patch.shares - before).abs().sum(0) / 2
        real = changed > TINY
        shares, labels, lesion = sample.shares.clone(), sample.labels.clone(), sample.lesion.clone()
        shares[:, near] = torch.where(real, patch.shares, before)
        labels[near] = torch.where(real, patch.labels, labels[near])
        lesion[near] = (lesion[near] + changed * real).clamp(max=1)
        return Sample(shares, labels, lesion)

    def distance(self, q: Tensor) -> Tensor:
        """Distance [mm] of points to the lesion's centre."""
        return self.offset(q).square().sum(0).sqrt()

    def offset(self, q: Tensor) -> Tensor:
        """Points relative to the lesion's centre [mm]."""
        return q - torch.tensor(self.centre, dtype=q.dtype, device=q.device).view(3, *([1] * (q.ndim - 1)))

    def waves(self, q: Tensor, cell: float) -> Tensor:
        """Three smooth fields of unit variance ``(3, ...)`` that vary over about ``cell`` mm."""
        return self.field(q, (cell,) * 3)


def fade(distance: Tensor, width: float) -> Tensor:
    """1 inside, 0 outside a solid, falling smoothly over ``width`` mm around its surface, exactly 0 beyond."""
    inside = (0.5 - distance / width).clamp(0, 1)
    return inside.square() * (3 - 2 * inside)
