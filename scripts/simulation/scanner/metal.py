# SPDX-License-Identifier: Apache-2.0
"""What metal does to a spin-echo image: signal is displaced along the readout, piles up, or is not excited."""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.signal import pass_band

EXCITATION_BANDWIDTH = 1500.0
"""Full width [Hz] of the frequencies that the slice-selective pulses reach; what is further off gives no signal."""
_SUBSAMPLES = 4


def excited(error: Tensor) -> Tensor:
    """Share of the signal that is excited where metal shifts the frequency by ``error`` [Hz]; 1 without metal."""
    return pass_band(error, EXCITATION_BANDWIDTH) / pass_band(torch.zeros_like(error[..., :1]), EXCITATION_BANDWIDTH)


def displace(maps: Tensor, pixels: Tensor) -> Tensor:
    """Move signal along the last axis and keep its sum: it piles up where the shift contracts and else thins.

    Args:
        maps: signal ``(R, H, W)``.
        pixels: displacement towards higher indices, ``(H, W)``; what leaves the image is lost.

    Returns:
        Signal ``(R, H, W)``.
    """
    width = maps.shape[-1]
    slope = torch.gradient(pixels, dim=-1)[0] if width > 1 else torch.zeros_like(pixels)
    padded = torch.zeros(*maps.shape[:-1], width + 2, dtype=maps.dtype, device=maps.device)
    column = torch.arange(width, dtype=maps.dtype, device=maps.device)
    for part in range(_SUBSAMPLES):
        offset = (part + 0.5) / _SUBSAMPLES - 0.5
        where = (column + offset + pixels + offset * slope + 1).clamp(0, width + 1)
        low = where.floor().clamp(max=width)
        for index, weight in ((low, 1 - (where - low)), (low + 1, where - low)):
            padded.scatter_add_(-1, index.long().expand_as(maps), maps * weight / _SUBSAMPLES)
    return padded[..., 1:-1]
