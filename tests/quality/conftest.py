# SPDX-License-Identifier: Apache-2.0
"""A limb of known brightness, noise and defects, drawn without the simulator."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

PIXEL_MM = 0.8


def draw_limb(slices: int = 12, side: int = 160, radius: float = 0.36, seed: int = 0, lines: float = 0.35) -> Tensor:
    """Discs of brightness .8, as fat on PD, crossed by thin lines of another brightness, ``(slices, side, side)``.

    Args:
        slices: their number.
        side: of the image [pixels]; the edge of a disc is blurred over one.
        radius: share of the side.
        seed: of the lines' places.
        lines: their brightness.
    """
    axis = torch.arange(side) - (side - 1) / 2
    row, column = axis[:, None].expand(side, side), axis.expand(side, side)
    edge = (radius * side - torch.hypot(row, column)).clamp(-0.5, 0.5) + 0.5
    generator = torch.Generator().manual_seed(seed)
    image = torch.full((side, side), 0.8)
    for _ in range(24):
        angle, place = torch.rand(2, generator=generator).tolist()
        across = math.cos(math.pi * angle) * row + math.sin(math.pi * angle) * column - (place - 0.5) * side
        image += (lines - 0.8) * torch.exp(-((across / 1.2) ** 2)) * (image - lines) / (0.8 - lines + 1e-9)
    return (image * edge).expand(slices, side, side).clone()


def add_noise(volume: Tensor, sigma: float, receivers: int = 1, seed: int = 0) -> Tensor:
    """Magnitude of a signal that ``receivers`` share equally, each with complex noise of ``sigma`` per part."""
    generator = torch.Generator().manual_seed(seed)
    parts = sigma * torch.randn((2, receivers, *volume.shape), generator=generator)
    parts[0] += volume / math.sqrt(receivers)
    return parts.square().sum((0, 1)).sqrt()


@pytest.fixture
def limb() -> Callable[..., Tensor]:
    return draw_limb


@pytest.fixture
def noisy() -> Callable[..., Tensor]:
    return add_noise
