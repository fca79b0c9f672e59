# SPDX-License-Identifier: Apache-2.0
"""Which voxels are body, and how bright its bright end is: the fixed scale of this project."""

from __future__ import annotations

import numpy as np
import torch

BODY_THRESHOLD = 0.1
"""A voxel belongs to the body if it reaches this share of the bright end of the whole volume."""
QUANTILE = 0.995
_MOST_SAMPLES = 2**23  # torch.quantile takes at most 2**24 values; a fixed stride keeps the result reproducible


def bright_end(volume: torch.Tensor, quantile: float = QUANTILE) -> torch.Tensor:
    """The given quantile of all finite values, from a regular subsample where the volume is very large."""
    values = volume.reshape(-1).float()
    if values.numel() > _MOST_SAMPLES:
        values = values[:: -(-values.numel() // _MOST_SAMPLES)]
    if values.device.type == "cpu" and values.numel():  # NumPy selects where torch sorts: a tenth of the time
        return torch.as_tensor(np.quantile(values.numpy(), quantile), dtype=torch.float32)
    return torch.quantile(values, quantile)


def body_mask(volume: torch.Tensor, threshold: float = BODY_THRESHOLD) -> torch.Tensor:
    """Voxels brighter than ``threshold`` times the volume's 99.5th percentile: body, without air and most bone.

    Args:
        volume: magnitude image, any shape, any scale.
        threshold: share of the bright end, 0..1.

    Returns:
        Boolean tensor of the same shape.
    """
    return volume > threshold * bright_end(volume)


def body_scale(volume: torch.Tensor, quantile: float = QUANTILE, threshold: float = BODY_THRESHOLD) -> float:
    """The 99.5th percentile inside the body: what the fixed scale calls 1.0.

    Raises:
        ValueError: if the image holds no signal or values that are not finite.
    """
    if not torch.isfinite(volume).all():
        raise ValueError("The image holds values that are not finite; need magnitudes. Export the series again.")
    inside = volume[body_mask(volume, threshold)]
    if inside.numel() == 0 or float(inside.max()) <= 0:
        raise ValueError("The image holds no signal (all voxels are equal or zero); need a magnitude image of a knee.")
    return float(bright_end(inside, quantile))
