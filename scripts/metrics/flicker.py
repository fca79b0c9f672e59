# SPDX-License-Identifier: Apache-2.0
"""Flicker: the brightness of whole slices that jumps from one to the next, where they were synthesised one by one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.metrics.masked import mask_of, volumes_of

TILE = 16
"""Side of the tiles that are followed through the slices [pixels]."""

_SAME_TISSUE = 0.4  # largest change of the source, as a difference of logarithms, in a tile that counts
_LEAST_TILES = 16  # of a slice, for its median to mean something
_TINY = 1e-6


@dataclass(frozen=True)
class Flicker:
    """Flicker of one volume.

    Attributes:
        value: root mean square of the jumps; 0.05 is a flicker of 5 %.
        jumps: by slice number, the logarithm of the factor by which the slice is too bright.
    """

    value: float
    jumps: dict[int, float]


def flicker(source: Tensor, synthesis: Tensor, body: Tensor) -> Flicker | None:
    """How much the brightness of whole slices jumps in the synthesis where the source's does not.

    Each slice is cut into tiles of 16 x 16 pixels; ``g`` is the logarithm of the tile's mean in the synthesis over its
    mean in the source. A tile's jump at a slice is ``g`` minus the mean of ``g`` in the two slices beside it. Only
    tiles count in which the source itself hardly changes over the three slices, so that tissue which ends there is no
    jump. A slice's jump is the median over its tiles; the value is the root mean square over slices. The first and the
    last slice have no jump of their own; what is left over of a tile at the far border is not looked at.

    Args:
        source: ``(D, H, W)`` or ``(1, D, H, W)``, any linear scale.
        synthesis: same shape, any linear scale.
        body: same shape, non-zero inside.

    Returns:
        The flicker, or None where no slice has 16 tiles to compare.

    Raises:
        ValueError: for shapes that differ or values that are not finite.
    """
    source, synthesis = volumes_of(source=source, synthesis=synthesis)
    inside = mask_of(body, source, "body", least=0)
    if source.shape[0] < 3 or min(source.shape[-2:]) < TILE:
        return None
    level = _tiles(source).clamp(min=_TINY).log()
    gain = _tiles(synthesis).clamp(min=_TINY).log() - level
    three = torch.stack([level[:-2], level[1:-1], level[2:]])
    within = _tiles(inside.double()) > 0.5
    counts = within[:-2] & within[1:-1] & within[2:] & (three.amax(dim=0) - three.amin(dim=0) < _SAME_TISSUE)
    jump = gain[1:-1] - (gain[:-2] + gain[2:]) / 2
    jumps = {}
    for number, (values, count) in enumerate(zip(jump, counts, strict=True), start=1):
        if int(count.sum()) >= _LEAST_TILES:
            # Not torch.median, which takes the lower of the middle two.
            jumps[number] = float(values[count].quantile(0.5))
    if not jumps:
        return None
    return Flicker(float(torch.tensor(list(jumps.values()), dtype=torch.float64).square().mean().sqrt()), jumps)


def _tiles(volume: Tensor) -> Tensor:
    return F.avg_pool2d(volume[:, None], TILE)[:, 0]
