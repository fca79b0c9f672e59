# SPDX-License-Identifier: Apache-2.0
"""How restless a tissue is at each scale: variation within octaves of spatial frequency."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

OCTAVES = (0.7, 1.4, 2.8, 5.6)
"""Standard deviations [pixels] of the Gaussians between which an octave lies, the first from the pixel up."""


def octave_variation(image: Tensor, mask: Tensor) -> tuple[float, ...]:
    """Standard deviation in each octave over the mean, within a region alone.

    Args:
        image: ``(H, W)``.
        mask: the region, bool ``(H, W)``; what lies outside has no part in it (normalised convolution).

    Returns:
        One share of the mean per entry of `OCTAVES`, finest first.

    Raises:
        ValueError: for an empty region.
    """
    if not bool(mask.any()):
        raise ValueError("The region is empty; need at least one pixel.")
    inside = mask.to(image.dtype)
    mean = image[mask].mean()
    before, found = image, []
    for sigma in OCTAVES:
        after = _blur(image * inside, sigma) / _blur(inside, sigma).clamp_min(1e-3)
        found.append(float((before - after)[mask].std(correction=0) / mean))
        before = after
    return tuple(found)


def _blur(image: Tensor, sigma: float) -> Tensor:
    half = int(4 * sigma + 0.5)
    at = torch.arange(-half, half + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-at.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    across = F.conv2d(image[None, None], kernel.view(1, 1, 1, -1), padding=(0, half))
    return F.conv2d(across, kernel.view(1, 1, -1, 1), padding=(half, 0))[0, 0]
