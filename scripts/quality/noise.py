# SPDX-License-Identifier: Apache-2.0
"""How noisy a magnitude image is: from the air, or from the finest detail of the body where the air was blanked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.quality.regions import Regions, find_regions

BLOCK = 8
"""Side of the squares [pixels] whose variance is taken; interpolated noise is correlated over two or three pixels."""

AIR_VARIANCE = 0.46
"""Variance of the magnitude of pure noise over that of its real part: .43 with one receiver, .5 with many."""

BLANKED = 0.05
"""Share of squares of one value from which on air counts as blanked; some scanners store zeros there."""

DISTANCE_MM = 5.0
"""From the body, where its edge and its ringing no longer reach."""

_LEAST_BLOCKS = 50
_MARGIN = 0.08
_DARKEST = 0.03
_ABOVE_NOISE = 2.5  # times the mean of noise is no longer noise
_BRIGHTEST = 0.25  # of the bright end in the body: more is no air
_NOISE_LIKE = 6.0  # mean over standard deviation of pure noise: 1.9 with one receiver, 5.6 with eight
_MAD = 0.6745
_BELOW = 1.5


@dataclass(frozen=True)
class Blocks:
    """Squares of a volume.

    Args:
        mean: of each, ``(slices, rows, columns)`` of squares.
        variance: within it, the same shape.
    """

    mean: Tensor
    variance: Tensor

    @property
    def blanked(self) -> bool:
        """Whether air was set to zero, so that it says nothing about noise."""
        return float((self.variance <= 0).float().mean()) > BLANKED

    @property
    def air_ends(self) -> float:
        """Brightness at which air ends: above the darkest squares that fluctuate as noise does; 0 where there are none.

        The outermost squares are left out, which scanners let fade.
        """
        rows, columns = (max(1, round(_MARGIN * side)) for side in self.mean.shape[1:])
        inner = (slice(None), slice(rows, -rows), slice(columns, -columns))
        mean, deviation = self.mean[inner], self.variance[inner].sqrt()
        noise = mean[(deviation > 0) & (mean < _NOISE_LIKE * deviation)]
        return min(_ABOVE_NOISE * float(torch.quantile(noise, _DARKEST)), _BRIGHTEST) if len(noise) else 0.0


def blocks_of(volume: Tensor) -> Blocks:
    """Cut magnitudes ``(slices, rows, columns)`` into squares."""
    mean, square = (F.avg_pool2d(one[:, None], BLOCK)[:, 0] for one in (volume, volume.square()))
    variance = (square - mean.square()).clamp_min(0)
    # What is left of equal values by rounding is no noise.
    return Blocks(mean, torch.where(variance < 1e-6 * square, torch.zeros_like(variance), variance))


def noise_in_air(blocks: Blocks, regions: Regions) -> float | None:
    """Standard deviation of the real part of the noise, or None where there is too little air, or blanked air."""
    air = _air(blocks, regions)
    return None if air is None else float((air.variance.median() / AIR_VARIANCE).sqrt())


def noise_floor(volume: Tensor, pixel_mm: float) -> float:
    """What noise adds to the square of a magnitude where there is signal; 0 where air does not tell.

    The mean square of air is ``2 N sigma^2`` for N receivers, and the square of a signal is raised by ``sigma^2`` less
    (Koay and Basser 2006, J Magn Reson 179:317, in the limit of a signal above the noise).

    Args:
        volume: magnitudes ``(slices, rows, columns)`` in display orientation, 1.0 the bright end in the body.
        pixel_mm: size of a pixel.
    """
    if min(volume.shape[1:]) < 2 * BLOCK:
        return 0.0
    blocks = blocks_of(volume)
    # Air at the left and right ends will do in any plane.
    air = _air(blocks, find_regions(volume, pixel_mm, "sagittal", blocks.air_ends))
    if air is None:
        return 0.0
    square = (air.mean.square() + air.variance).median() - air.variance.median() / AIR_VARIANCE
    return max(float(square), 0.0)


def _air(blocks: Blocks, regions: Regions) -> Blocks | None:
    """The squares that are air, in a row; None where there are too few, or where air was blanked."""
    far = regions.outside(DISTANCE_MM)[:, None].float()
    there = F.interpolate(far, size=blocks.mean.shape[1:], mode="area")[:, 0] > 0.99
    if blocks.blanked or int(there.sum()) < _LEAST_BLOCKS:
        return None
    return Blocks(blocks.mean[there], blocks.variance[there])


def without_floor(magnitude: Tensor, floor: Tensor | float) -> Tensor:
    """Magnitudes from which the noise floor is taken: on average nearly the signal behind the noise, also a dark one.

    A magnitude below the floor becomes negative, half as much again as it is below: so the mean over noise alone is .35
    of its standard deviation in place of 1.25, and that of a signal of one or more standard deviations within .16 of it
    (one receiver). Clamped at 0, dark tissue would stay grey.

    Args:
        magnitude: any shape.
        floor: what `noise_floor` says, or one for each leading entry, broadcast.
    """
    rest = magnitude.square() - floor
    return torch.where(rest > 0, rest.clamp_min(0).sqrt(), -_BELOW * (-rest).clamp_min(0).sqrt())


def noise_in_body(volume: Tensor, body: Tensor) -> float:
    """The same from the finest diagonal detail (Donoho 1994, Biometrika 81:425); too low in interpolated images.

    Args:
        volume: magnitudes ``(slices, rows, columns)``.
        body: where to look, boolean, any resolution.
    """
    even = volume[:, : volume.shape[1] // 2 * 2, : volume.shape[2] // 2 * 2]
    quads = F.pixel_unshuffle(even[:, None], 2)
    detail = (quads[:, 0] - quads[:, 1] - quads[:, 2] + quads[:, 3]).abs() / 2
    inside = F.interpolate(body[:, None].float(), size=detail.shape[1:], mode="nearest")[:, 0] > 0.5
    return float(detail[inside].median() / _MAD) if bool(inside.any()) else 0.0
