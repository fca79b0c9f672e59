# SPDX-License-Identifier: Apache-2.0
"""Augmentation of a registered pair: the same geometry and shading for both contrasts, the gain for the input alone.

The target of a synthesis is the other contrast on the source's grid *with the source's coil shading*: nothing in the
source tells what another coil would have seen. So extra shading is part of the place, as a rotation is, and both
contrasts get the same; a network that saw it on the source alone would learn to take shading away. What belongs to one
image only is its scale, since the bright end of a scan is known but roughly: the gain, of which each contrast draws its
own, and which the trainer applies to what the network is given and never to a target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from scripts.inferers import magnification


@dataclass(frozen=True)
class Augmentation:
    """Ranges to draw from.

    Simulated slices take the geometry and the gain; shading and noise are the simulator's own.

    Args:
        size: height and width of a training crop [pixels].
        zoom: smallest and largest magnification.
        rotation: largest turn in the plane [rad].
        flip: chance of a left-right flip.
        shading: largest strength of the extra coil shading (natural logarithm, peak to middle); 0 for none.
        gain: largest relative change of the input's scale, which the targets do not share.
        least_side: slices whose shorter side has fewer pixels are magnified to so many before the crop, as
            `scripts.inferers.SliceStackInferer` does before the network; 0 never.
    """

    size: tuple[int, int] = (160, 160)
    zoom: tuple[float, float] = (0.8, 1.25)
    rotation: float = 0.2
    flip: float = 0.5
    shading: float = 0.8
    gain: float = 0.08
    least_side: int = 0


@dataclass(frozen=True)
class Draw:
    """One drawn augmentation.

    Args:
        size: height and width of the crop [pixels].
        matrix: from the crop's coordinates (x, y) to the slice's, ``(2, 3)``; both run from -1 to 1 over the image.
        shading: tilt, lobes and their strength of the extra shading.
        gain: of the inputs ``(2,)``.
    """

    size: tuple[int, int]
    matrix: torch.Tensor
    shading: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    gain: torch.Tensor


def draw_augmentation(ranges: Augmentation, shape: tuple[int, int], generator: torch.Generator) -> Draw:
    """Draw the parameters for one slice of the given height and width."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    height, width = ranges.size
    zoom = math.exp(uniform(math.log(ranges.zoom[0]), math.log(ranges.zoom[1])))
    zoom *= magnification(shape, ranges.least_side)
    angle = uniform(-ranges.rotation, ranges.rotation)
    mirror = -1.0 if uniform(0, 1) < ranges.flip else 1.0
    # A crop of the magnified slice: its half extents as shares of the slice, its centre within what is left.
    half_y, half_x = height / shape[0] / zoom, width / shape[1] / zoom
    centre_y, centre_x = (uniform(-1, 1) * max(1 - half, 0.0) for half in (half_y, half_x))
    c, s = math.cos(angle), math.sin(angle)
    ratio = shape[0] / shape[1]
    matrix = torch.tensor(
        [[c * half_x * mirror, -s * half_y * ratio, centre_x], [s * half_x * mirror / ratio, c * half_y, centre_y]]
    )
    # Extra shading: a tilt and two lobes in the logarithm, smooth over the slice.
    tilt = ranges.shading * (torch.rand(2, generator=generator) - 0.5)
    lobes = torch.rand(2, 2, generator=generator) * 3 - 1.5
    strength = ranges.shading * (torch.rand(2, generator=generator) - 0.2)
    gain = 1 + ranges.gain * (2 * torch.rand(2, generator=generator) - 1)
    return Draw((height, width), matrix, (tilt, lobes, strength), gain)


def apply_augmentation(drawn: Draw, pair: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
    """Cut a crop out of one slice of an acquired pair with a drawn augmentation.

    Args:
        drawn: the draw.
        pair: the slice of both contrasts, ``(2, H, W)``, each on its own fixed scale; or several versions of it, one
            behind the other, ``(2 n, H, W)``.
        coarse: every eighth row and column of the whole volumes, ``(2, D, h, w)``, from which the shaded volumes'
            bright ends are told.

    Returns:
        The slices ``(2 n, h, w)`` float32, rescaled so that 1.0 is again the bright end of the shaded volume.
    """
    grid = F.affine_grid(drawn.matrix[None], [1, len(pair), *drawn.size], align_corners=False)
    slices = F.grid_sample(pair[None].float(), grid, align_corners=False, padding_mode="zeros")[0]
    ends = _new_bright_end(drawn.shading, coarse).repeat(len(pair) // 2)
    return slices * _shading(drawn.shading, grid[0]) / ends[:, None, None]


def _shading(shading: tuple[torch.Tensor, torch.Tensor, torch.Tensor], grid: torch.Tensor) -> torch.Tensor:
    """Factor at the given places ``(..., 2)`` (x, y in -1..1)."""
    tilt, lobes, strength = shading
    logarithm = grid @ tilt
    for centre, height in zip(lobes, strength, strict=True):
        logarithm = logarithm + height * torch.exp(-(grid - centre).square().sum(-1) / 0.8)
    return logarithm.exp()


def _new_bright_end(shading: tuple[torch.Tensor, torch.Tensor, torch.Tensor], coarse: torch.Tensor) -> torch.Tensor:
    """99.5th percentile of the shaded volume in the body, per contrast ``(2,)``, from every other slice."""
    coarse = coarse[:, ::2].float()
    y, x = (torch.linspace(-1, 1, size) for size in coarse.shape[-2:])
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    shaded = (coarse * _shading(shading, grid)).flatten(1)
    ends = [
        torch.quantile(values[before > 0.1], 0.995) for values, before in zip(shaded, coarse.flatten(1), strict=True)
    ]
    # The coarse sample's own bright end is not exactly 1, so only the ratio counts.
    plain = [torch.quantile(before[before > 0.1], 0.995) for before in coarse.flatten(1)]
    return torch.stack(ends) / torch.stack(plain)
