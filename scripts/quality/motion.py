# SPDX-License-Identifier: Apache-2.0
"""Motion: ghosts of the body in the air beside it, and slices that lie beside their neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.quality.regions import Regions, local_mean

DISTANCE_MM = 6.0
"""From the body, where its own edge no longer reaches."""

LAGS = (2, 3)
"""Distance in coarse pixels at which noise is no longer correlated with itself, and a ghost still is."""

SEARCH_MM = 12.0
"""Largest displacement of a slice that is looked for."""

_LEAST_AIR_MM2 = 2000.0
_GROUND_MM = 10.0  # what changes over this distance is shading of noise, no ghost
_STEEP_MM = 7.0
_LEAST_SLICES = 5
_QUARTER = 0.75


def ghosts(regions: Regions, bright: float) -> float | None:
    """Standard deviation of structure in air over the brightness of the body; None where there is too little air.

    A ghost keeps the body's shape along the readout, so that it is correlated over a few mm along one axis of the
    image; noise is not, also interpolated noise.

    Args:
        regions: body and air.
        bright: brightness of the body.
    """
    air = regions.outside(DISTANCE_MM).float()
    if float(air.sum()) * regions.pixel_mm**2 < _LEAST_AIR_MM2:
        return None
    width = 2 * regions.pixels(_GROUND_MM) + 1
    ground = local_mean(regions.image * air, width) / local_mean(air, width).clamp_min(1e-3)
    rest = (regions.image - ground) * air
    power = max(sum(_covariance(rest, air, axis, lag) for lag in LAGS) / len(LAGS) for axis in (1, 2))
    return max(power, 0.0) ** 0.5 / bright


def jumps(regions: Regions) -> float | None:
    """Displacement [mm] against both neighbours that a quarter of the slices exceeds; below zero for a sound stack.

    Displacements are where the phase correlation of two slices is highest. Anatomy that moves on from slice to slice
    moves the next but one as well, and half of that is taken off. None where there are too few slices.
    """
    if len(regions.image) < _LEAST_SLICES:
        return None
    spectra = _spectra(regions)
    step = _displacement(spectra[:-1], spectra[1:], regions)
    two = _displacement(spectra[:-2], spectra[2:], regions)
    excess = (step[:-1] - step[1:]).norm(dim=1) / 2 - two.norm(dim=1) / 2
    return float(excess.quantile(_QUARTER))


def _covariance(rest: Tensor, air: Tensor, axis: int, lag: int) -> float:
    size = rest.shape[axis] - lag
    one, other = (part.narrow(axis, 0, size) * part.narrow(axis, lag, size) for part in (rest, air))
    return float(one.sum() / other.sum().clamp_min(1))


def _spectra(regions: Regions) -> Tensor:
    rows, columns = regions.image.shape[1:]
    seen = regions.image * regions.body
    seen = seen - local_mean(seen, 2 * regions.pixels(_STEEP_MM) + 1)
    window = torch.hann_window(rows, periodic=False)[:, None] * torch.hann_window(columns, periodic=False)
    return torch.fft.fft2(seen * window)


def _displacement(one: Tensor, other: Tensor, regions: Regions) -> Tensor:
    """Rows and columns [mm] from the one to the other, ``(n, 2)``."""
    cross = one * other.conj()
    # Half whitened: sharper than correlation, and less led by noise than by phase alone.
    peak = torch.fft.ifft2(cross / cross.abs().sqrt().clamp_min(1e-9)).real
    reach = min(regions.pixels(SEARCH_MM), *((side - 1) // 2 for side in peak.shape[1:]))
    near = torch.roll(peak, (reach, reach), (1, 2))[:, : 2 * reach + 1, : 2 * reach + 1]
    at = near.flatten(1).argmax(1)
    number = torch.arange(len(near))
    row, column = at // (2 * reach + 1), at % (2 * reach + 1)
    row_in, column_in = row.clamp(1, 2 * reach - 1), column.clamp(1, 2 * reach - 1)
    down = _vertex(*(near[number, row_in + step, column] for step in (-1, 0, 1)))
    across = _vertex(*(near[number, row, column_in + step] for step in (-1, 0, 1)))
    return (torch.stack((row + down, column + across), 1) - reach) * regions.pixel_mm


def _vertex(left: Tensor, middle: Tensor, right: Tensor) -> Tensor:
    """Where the parabola through three values is highest, from the middle one, at most half a step away."""
    bend = left - 2 * middle + right
    return torch.where(bend < 0, 0.5 * (left - right) / bend.clamp_max(-1e-12), torch.zeros_like(bend)).clamp(-0.5, 0.5)
