# SPDX-License-Identifier: Apache-2.0
"""Steep shading of a surface coil: receive elements around the knee with smooth complex sensitivities.

The sensitivity of a loop falls as ``(1 + d^2 / a^2)^(-3/2)`` with the distance ``d`` from it (field on the axis of a
loop of radius ``a``, by reciprocity the receive sensitivity). Over a knee the brightest fat is three to six times as
bright as the darkest: subcutaneous fat beside an element is twice as bright as deep fat, and all fall towards the ends
of the coil.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.scanner.field import Place, squared_distances


@dataclass(frozen=True)
class Element:
    """One receive loop.

    Args:
        position: of its centre, LPS [mm].
        reach: loop radius ``a`` [mm]; larger falls more slowly.
        strength: sensitivity at the loop itself, relative to the other elements.
        phase: of its signal at the isocentre [rad].
        turn: change of that phase along LPS [rad/mm].
    """

    position: Place
    reach: float
    strength: float
    phase: float = 0.0
    turn: Place = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Coil:
    """A receive coil.

    Args:
        elements: the loops; none is a uniform coil.
        uniform: sensitivity that is the same everywhere, in units of the strength.
        combined: the elements' signals are combined before they are seen, so that noise is that of one receiver (Rician
            magnitude); otherwise each element has its own noise and magnitudes are root sums of squares.
    """

    elements: tuple[Element, ...] = ()
    uniform: float = 1.0
    combined: bool = True

    def __post_init__(self) -> None:
        if self.uniform < 0 or (not self.elements and self.uniform == 0):
            raise ValueError(f"A coil needs an element or a uniform part above zero, found {self}.")
        if any(element.reach <= 0 or element.strength < 0 for element in self.elements):
            raise ValueError(f"Elements need a reach above zero and a strength of at least zero, found {self}.")

    @property
    def receivers(self) -> int:
        """Number of receivers with a noise of their own."""
        return 1 if self.combined else len(self.elements) + (self.uniform > 0)


def sensitivities(coil: Coil, points: Tensor) -> Tensor:
    """Complex sensitivity of each receiver at ``points`` ``(3, ...)`` [mm], ``(n, ...)``; last the uniform one."""
    magnitude, phase = _magnitudes(coil, points), []
    for element in coil.elements:
        turn = torch.tensor(element.turn).to(points)
        phase.append(element.phase + torch.tensordot(turn, points, dims=1))
    phase += [torch.zeros_like(points[0])] * (len(magnitude) - len(phase))
    return torch.polar(magnitude, torch.stack(phase))


def shading(coil: Coil, points: Tensor) -> Tensor:
    """Root sum of squares of the sensitivities at ``points`` ``(3, ...)`` [mm], ``(...)``; 1 at the isocentre."""
    joint = torch.zeros(3, 1, dtype=points.dtype, device=points.device)
    return _magnitudes(coil, points).square().sum(0).sqrt() / _magnitudes(coil, joint).square().sum().sqrt()


def _magnitudes(coil: Coil, points: Tensor) -> Tensor:
    found = []
    if coil.elements:
        reach, strength = (
            torch.tensor([getattr(element, name) for element in coil.elements])
            .to(points)
            .view(-1, *[1] * points[0].ndim)
            for name in ("reach", "strength")
        )
        squared = squared_distances([element.position for element in coil.elements], points)
        found.append(strength * (1 + squared / reach.square()).pow(-1.5))
    if coil.uniform > 0:
        found.append(torch.full_like(points[:1], coil.uniform))
    return torch.cat(found)
