# SPDX-License-Identifier: Apache-2.0
"""Ranks within a volume: what may be said of a scale that nobody calibrated."""

from __future__ import annotations

import torch
from torch import Tensor


def ranks(scale: Tensor, body: Tensor) -> Tensor:
    """Percentile of each pixel's scale among those of the body, above 0 to 100; 0 outside of it.

    Ties share the higher rank, and a larger scale never has a lower rank.

    Args:
        scale: any shape.
        body: boolean, same shape.

    Returns:
        float32, same shape.
    """
    inside = scale[body].float()
    found = torch.zeros(scale.shape, dtype=torch.float32)
    if len(inside):
        ordered = inside.sort().values
        found[body] = 100.0 * torch.searchsorted(ordered, inside, right=True).float() / len(ordered)
    return found
