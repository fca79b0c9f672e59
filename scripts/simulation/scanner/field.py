# SPDX-License-Identifier: Apache-2.0
"""Where the static and the transmit field err: shim, tissue-air boundaries, metal, radio-frequency lobes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Place = tuple[float, float, float]
SHIM_RADIUS = 60.0
"""Distance [mm] from the isocentre at which a shim term has its stated value."""


@dataclass(frozen=True)
class Bump:
    """A smooth local deviation, ``height exp(-d^2 / (2 radius^2))``.

    Args:
        centre: LPS [mm].
        radius: one standard deviation [mm].
        height: at the centre: [Hz] for the static field, relative for the transmit field.
    """

    centre: Place
    radius: float
    height: float


@dataclass(frozen=True)
class Dipole:
    """A metal sphere in the static field: ``height (a / d)^3 (3 cos^2 - 1)`` outside it, with the angle to the field.

    Args:
        centre: LPS [mm].
        radius: ``a`` [mm].
        height: a third of the susceptibility difference times the Larmor frequency [Hz]; titanium at 3 T about 7.7 kHz.
    """

    centre: Place
    radius: float
    height: float


@dataclass(frozen=True)
class Field:
    """Errors of the fields of one study.

    Args:
        shim: what shimming left [Hz] at `SHIM_RADIUS`: of 1, x, y, z, xy, xz, yz, (x^2 - y^2) / 2 and z^2 - (x^2 + y^2)
            / 2, the solid harmonics that a field without sources can have; shorter is filled with zeros.
        bumps: local errors beside the patella, air and the coil's edge.
        dipoles: metal.
        transmit: mean transmit field relative to nominal.
        lobes: local relative deviations of the transmit field.
    """

    shim: tuple[float, ...] = ()
    bumps: tuple[Bump, ...] = ()
    dipoles: tuple[Dipole, ...] = ()
    transmit: float = 1.0
    lobes: tuple[Bump, ...] = ()

    def __post_init__(self) -> None:
        if len(self.shim) > 9:
            raise ValueError(f"There are 9 shim terms, found {len(self.shim)}.")
        radii = [one.radius for one in self.bumps + self.lobes] + [one.radius for one in self.dipoles]
        if min(radii, default=1) <= 0:
            raise ValueError(f"Local deviations need a radius above zero, found {self}.")


def off_resonance(field: Field, points: Tensor) -> Tensor:
    """Error of the static field at ``points`` ``(3, ...)`` [mm], in Hz, ``(...)``, metal included."""
    x, y, z = points / SHIM_RADIUS
    terms = (torch.ones_like(x), x, y, z, x * y, x * z, y * z, (x * x - y * y) / 2, z * z - (x * x + y * y) / 2)
    error = metal(field, points)
    for height, term in zip(field.shim, terms, strict=False):
        error = error + height * term
    return error + _sum_of(field.bumps, points)


def metal(field: Field, points: Tensor) -> Tensor:
    """The part of the static field's error that metal causes [Hz], ``(...)``; inside it, that of its pole."""
    error = torch.zeros_like(points[0])
    for dipole in field.dipoles:
        x, y, z = (points[axis] - dipole.centre[axis] for axis in range(3))
        squared = x * x + y * y + z * z
        cosine2 = z * z / squared.clamp_min(1e-6)
        outside = dipole.height * (dipole.radius**2 / squared.clamp_min(1e-6)) ** 1.5 * (3 * cosine2 - 1)
        error = error + torch.where(squared > dipole.radius**2, outside, torch.full_like(x, 2 * dipole.height))
    return error


def transmit(field: Field, points: Tensor) -> Tensor:
    """Transmit field relative to nominal at ``points`` ``(3, ...)`` [mm], ``(...)``, at least zero."""
    return (field.transmit * (1 + _sum_of(field.lobes, points))).clamp_min(0)


def squared_distances(centres: Sequence[Place], points: Tensor) -> Tensor:
    """Squared distance [mm^2] of ``points`` ``(3, ...)`` from each of ``n`` centres, ``(n, ...)``."""
    place = torch.tensor(centres).to(points).view(len(centres), 3, *[1] * points[0].ndim)
    return (points - place).square().sum(1)


def _sum_of(bumps: tuple[Bump, ...], points: Tensor) -> Tensor:
    if not bumps:
        return torch.zeros_like(points[0])
    height, radius = (torch.tensor([getattr(bump, name) for bump in bumps]).to(points) for name in ("height", "radius"))
    squared = squared_distances([bump.centre for bump in bumps], points)
    spread = 2 * radius.square().view(-1, *[1] * points[0].ndim)
    return torch.tensordot(height, torch.exp(-squared / spread), dims=1)
