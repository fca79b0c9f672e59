# SPDX-License-Identifier: Apache-2.0
"""How noisy a magnitude image is: from the air, or from the finest detail of the body where the air was blanked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.quality.regions import Regions

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
    air = regions.outside(DISTANCE_MM)[:, None].float()
    inside = blocks.variance[F.interpolate(air, size=blocks.mean.shape[1:], mode="area")[:, 0] > 0.99]
    if blocks.blanked or len(inside) < _LEAST_BLOCKS:
        return None
    return float((inside.median() / AIR_VARIANCE).sqrt())


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
