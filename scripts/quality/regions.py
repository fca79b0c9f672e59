# SPDX-License-Identifier: Apache-2.0
"""Body and air of a stack, coarsely: what every measure looks at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.body import BODY_THRESHOLD

PIXEL_MM = 1.5
"""About the size of a coarse pixel."""


@dataclass(frozen=True)
class Regions:
    """A coarse stack.

    Args:
        image: mean of the pixels of each coarse one ``(slices, rows, columns)``.
        pixel_mm: its pixels' size.
        body: the body with what is dark within, boolean, same shape.
    """

    image: Tensor
    pixel_mm: float
    body: Tensor

    def inside(self, depth_mm: float) -> Tensor:
        """Where the body is deeper than this."""
        return ~grow(~self.body, self.pixels(depth_mm))

    def outside(self, distance_mm: float) -> Tensor:
        """Where the body is farther away than this."""
        return ~grow(self.body, self.pixels(distance_mm))

    def pixels(self, length_mm: float) -> int:
        """A length in coarse pixels, at least 1."""
        return max(1, round(length_mm / self.pixel_mm))


def find_regions(
    volume: Tensor, pixel_mm: float, plane: str, air_ends: float = 0.0, coarse_mm: float = PIXEL_MM
) -> Regions:
    """Find body and air.

    Args:
        volume: magnitudes ``(slices, rows, columns)`` in display orientation, 1.0 the bright end in the body.
        pixel_mm: size of a pixel.
        plane: of the slices; the leg leaves sagittal and coronal ones at the top and at the bottom.
        air_ends: brightness at which air ends; 0 if unknown.
        coarse_mm: about the size of the coarse pixels.
    """
    factor = max(1, min(round(coarse_mm / pixel_mm), *volume.shape[1:]))
    image = F.avg_pool2d(volume[:, None], factor)[:, 0]
    dark = local_mean(image, 3) <= max(BODY_THRESHOLD, air_ends)
    air = torch.zeros_like(dark)
    air[:, :, [0, -1]] = dark[:, :, [0, -1]]
    if plane == "axial":
        air[:, [0, -1]] = dark[:, [0, -1]]
    return Regions(image, factor * pixel_mm, ~_connected(air, dark))


def grow(mask: Tensor, pixels: int) -> Tensor:
    """A mask ``(slices, rows, columns)`` and what lies within ``pixels`` of it in its slice, along rows and columns."""
    return brightest(mask.to(torch.float32), 2 * pixels + 1) > 0


def brightest(image: Tensor, width: int) -> Tensor:
    """Largest value of the square of ``width`` (odd) pixels around each pixel of ``(slices, rows, columns)``."""
    rows = F.max_pool2d(image[:, None], (width, 1), 1, (width // 2, 0))
    return F.max_pool2d(rows, (1, width), 1, (0, width // 2))[:, 0]


def local_mean(image: Tensor, width: int) -> Tensor:
    """Mean over the same square, as far as it lies in the image."""
    rows = F.avg_pool2d(image[:, None], (width, 1), 1, (width // 2, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, width), 1, (0, width // 2), count_include_pad=False)[:, 0]


def _connected(seed: Tensor, within: Tensor) -> Tensor:
    """All of ``within`` that is connected to the seed in its slice along rows and columns."""
    while True:
        before = seed
        for axis in (2, 1):
            seed = _along(seed, within, axis)
        if bool((seed == before).all()):
            return seed


def _along(seed: Tensor, within: Tensor, axis: int) -> Tensor:
    """The runs of ``within`` along an axis that hold a seed."""
    lines, of = (one.movedim(axis, -1).reshape(-1, one.shape[axis]) for one in (seed, within))
    run = (~of).cumsum(1) + torch.arange(len(of))[:, None] * (of.shape[1] + 1)
    holds = torch.zeros(len(of) * (of.shape[1] + 1), dtype=torch.bool)
    holds[run[lines]] = True
    shape = seed.movedim(axis, -1).shape
    return (holds[run] & of).reshape(shape).movedim(-1, axis)
