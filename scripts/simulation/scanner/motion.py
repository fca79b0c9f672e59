# SPDX-License-Identifier: Apache-2.0
"""Rigid motion of the knee between the two scans, within the slice and through it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.scanner.k_space import lines


@dataclass(frozen=True)
class Motion:
    """How a scan lies from the study's grid.

    Args:
        shift: of the image towards higher rows and higher columns [pixels].
        angle: of its turn about the middle, from rows towards columns [rad].
        through_plane: of the knee along the slice normal [mm]; an image cannot be moved that way, so whoever samples
            the anatomy for this scan has to move its points.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    through_plane: float = 0.0

    def __post_init__(self) -> None:
        if abs(self.angle) > math.pi / 4:
            raise ValueError(f"A turn of {self.angle:g} rad is no motion of a knee; need at most pi/4.")


def rotate(image: Tensor, angle: Tensor) -> Tensor:
    """Turn images about their middle by three shears in k-space: exact for what k-space holds, and without blur.

    Unser et al., IEEE Trans Image Process 1995;4:1371. What is turned out at one edge comes in at the other.

    Args:
        image: complex ``(B, H, W)``.
        angle: of each image, from rows towards columns [rad], ``(B,)``.

    Returns:
        Complex ``(B, H, W)``.
    """
    image = _shear(image, torch.tan(angle / 2))
    image = _shear(image.mT, -torch.sin(angle)).mT
    return _shear(image, torch.tan(angle / 2))


def _shear(image: Tensor, slope: Tensor) -> Tensor:
    """Move each row by ``slope`` times its distance from the middle, towards higher columns."""
    rows, columns = image.shape[-2:]
    distance = torch.arange(rows, device=image.device, dtype=torch.float32) - (rows - 1) / 2
    frequency = lines(columns).float().to(image.device) / columns
    angle = -2 * math.pi * (slope[:, None] * distance)[:, :, None] * frequency
    return torch.fft.ifft(torch.fft.fft(image, dim=-1) * torch.polar(torch.ones_like(angle), angle), dim=-1)
