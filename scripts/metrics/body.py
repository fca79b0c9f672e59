# SPDX-License-Identifier: Apache-2.0
"""From bright voxels to the body that the metrics are measured in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.utils import convert_to_tensor
from torch import Tensor

SPECK = 5
"""Side of a bright pixel's neighbourhood [pixels]."""
SOLID = 1 / 3
"""Bright share of that neighbourhood at the least: a right-angled corner has 9 of 25, noise in the air far less."""


def fill_body(bright: Tensor) -> Tensor:
    """Close the dark tissues of the knee into the mask of its bright ones, slice by slice.

    Cortical bone, menisci, ligaments and tendons are as dark as air on both contrasts. A threshold leaves them out, and
    with them every error that a synthesis makes there. Here a pixel is body if bright ones lie to all four sides of it
    in its slice; scattered bright pixels, noise in the air, count for nothing.

    Args:
        bright: voxels brighter than a threshold, non-zero inside, ``(..., H, W)``.

    Returns:
        Boolean tensor of the same shape. A dark structure that the image border cuts stays open there.
    """
    plain = (convert_to_tensor(bright, track_meta=False) != 0).float()
    slices = plain.reshape(-1, 1, *plain.shape[-2:])
    share = F.avg_pool2d(slices, SPECK, stride=1, padding=SPECK // 2, count_include_pad=False)
    solid = (slices > 0) & (share >= SOLID)
    enclosed = torch.ones_like(solid)
    for dim in (-1, -2):
        count = solid.long().cumsum(dim)
        enclosed &= (count > 0) & ((count < count.narrow(dim, count.shape[dim] - 1, 1)) | solid)
    return enclosed.reshape(plain.shape)
