# SPDX-License-Identifier: Apache-2.0
"""Whether an uncertainty is worth anything: coverage, width, and whether it finds the errors."""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS = 20
_MOST = 200_000


def coverage(error: Tensor, half_width: Tensor) -> float:
    """Share of pixels whose error lies within the interval; arguments of one shape."""
    return float((error.abs() <= half_width).float().mean())


def sparsification(error: Tensor, scale: Tensor) -> tuple[float, float]:
    """Area under the sparsification error, of a scale and of chance (Ilg et al. 2018).

    Pixels are taken away, the least certain first, and the mean absolute error of the rest is compared with that of an
    order that knows the errors. Both as shares of the mean error of all: 0 is perfect.

    Args:
        error: of each pixel.
        scale: predicted, same shape.

    Returns:
        The area of the scale, and that of a random order.
    """
    magnitude, scale = _few(error.abs().flatten()), _few(scale.flatten())
    mean = magnitude.mean().clamp_min(1e-12)

    def remaining(order: Tensor) -> Tensor:
        kept = magnitude[order].cumsum(0) / torch.arange(1, len(order) + 1)
        places = [round((1 - step / _STEPS) * len(order)) - 1 for step in range(_STEPS)]
        return kept[places] / mean

    best = remaining(magnitude.argsort())
    area = (remaining(scale.argsort()) - best).mean()
    return float(area), float((1 - best).mean())


def auroc(score: Tensor, positive: Tensor) -> float:
    """Chance that a positive has a higher score than a negative, ties counting half; not a number without either.

    Args:
        score: any shape.
        positive: boolean, same shape.
    """
    score, positive = score.flatten().double(), positive.flatten()
    yes, no = int(positive.sum()), int((~positive).sum())
    if not yes or not no:
        return float("nan")
    ordered = score.sort().values
    below = torch.searchsorted(ordered, score, right=False)
    upto = torch.searchsorted(ordered, score, right=True)
    rank = (below + upto + 1).double() / 2  # mean rank of ties, from 1
    return float((rank[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def error_auroc(error: Tensor, scale: Tensor, threshold: float) -> float:
    """Whether the scale tells pixels with a larger error than a threshold from the others."""
    return auroc(_few(scale.flatten()), _few(error.abs().flatten()) > threshold)


def _few(values: Tensor) -> Tensor:
    """A regular subsample: what a million pixels say, two hundred thousand say too."""
    return values[:: -(-len(values) // _MOST)] if len(values) > _MOST else values
