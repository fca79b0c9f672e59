# SPDX-License-Identifier: Apache-2.0
"""Whether edges kept their slope, and whether fat got a bright rim.

Volumes are ``(D, H, W)`` or ``(1, D, H, W)``; everything happens within slices, which lie ten times as far apart as
pixels do. Both measures need the noise-free target: noise has edges of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.networks.layers import GaussianFilter
from torch import Tensor

from scripts.metrics.masked import mask_of, volumes_of

STRONG_EDGES = 0.95
"""Quantile of the target's gradient in the mask from which an edge is strong."""
EDGE_SCALE = 1.0
"""Standard deviation of the Gaussian before the gradient [pixels]."""
RIM = 2
"""Pixels to either side of the border of fat that are its rim."""

_LEAST_EDGE = 16


def edge_sharpness(
    prediction: Tensor, target: Tensor, mask: Tensor, strong: float = STRONG_EDGES, scale: float = EDGE_SCALE
) -> float:
    """Slope of the prediction across the target's strong edges over the target's own: 1 is equal, below 1 is blurred.

    With ``p`` and ``t`` the gradients of prediction and target behind a Gaussian of ``scale`` pixels, over the pixels
    in the mask where ``|t|`` reaches its ``strong`` quantile: ``mean(p . t / |t|) / mean(|t|)``. The prediction's
    gradient is taken along the target's, not by its length, so that noise, which points anywhere, adds nothing. At an
    edge of width ``b`` (the standard deviation of its blur) a further blur of ``w`` pixels gives ``sqrt((b^2 + e^2) /
    (b^2 + e^2 + w^2))``, ``e^2 = scale^2 + 5/12``: the Gaussian, its pixel and the central difference.

    Limits: an edge of lower contrast, one that is displaced or turned round counts like a blurred one. The strongest
    edges of a fat-suppressed knee are those of fluid and skin. Take out the gain first
    (:func:`scripts.metrics.image.match_gain`) where it is not the question.

    Args:
        prediction: the synthesis.
        target: noise-free.
        mask: where to look for edges: the body, or the surroundings of a tissue.
        strong: quantile in [0, 1).
        scale: pixels, above 0.

    Returns:
        The ratio; negative where contrast is turned round.

    Raises:
        ValueError: for shapes that differ, values that are not finite, a mask of fewer than 16 voxels, a quantile or
            scale out of range, or a target without an edge in the mask.
    """
    if not 0 <= strong < 1 or not scale > 0:
        raise ValueError(f"strong is {strong:g} and scale {scale:g}: need a quantile in [0, 1) and pixels above 0")
    prediction, target = volumes_of(prediction=prediction, target=target)
    inside = mask_of(mask, target, least=_LEAST_EDGE)
    predicted, true = _gradient(prediction, scale), _gradient(target, scale)
    size = true.square().sum(dim=0).sqrt()
    # By rank: torch.quantile takes at most 2^24 values.
    ascending = size[inside].sort().values
    least = ascending[int(strong * (ascending.numel() - 1))]
    # Flat slices leave rounding behind; dividing by it would make edges of it.
    edge = inside & (size >= least) & (size > 1e-9 * target.abs().max().clamp(min=1e-30))
    if not bool(edge.any()):
        raise ValueError("the target is flat in the mask: there is no edge to compare")
    along = (predicted * true).sum(dim=0)[edge] / size[edge]
    return float(along.mean() / size[edge].mean())


def bright_rim(prediction: Tensor, target: Tensor, fat: Tensor, body: Tensor | None = None, width: int = RIM) -> float:
    """Bright rim at fat edges: how much brighter the border of fat is than the rest, beyond what the target shows.

    The rim is what lies within ``width`` pixels of the border of fat, inside or outside; beside it are the next ``2
    width`` pixels each way. With ``r(region) = mean(prediction) / mean(target)``, the index is ``r(rim) / r(beside)``.
    A gain, or fat and its neighbours equally wrong, cancels; 1 is no rim, 1.2 one of 20 %, below 1 a dark one.

    Limits: distances count in squares, so a diagonal border has a thinner rim. Fat that is too bright throughout is
    what the fat-suppression ratio is for. A blur across the border also changes the rim.

    Args:
        prediction: the synthesis.
        target: noise-free.
        fat: non-zero in fat.
        body: non-zero where the band may lie; everywhere if None.
        width: pixels, at least 1.

    Returns:
        The index.

    Raises:
        ValueError: for shapes that differ, values that are not finite, a width below 1, fat without a border in the
            body or nothing beside it, or a target that is dark there.
    """
    if width < 1:
        raise ValueError(f"width is {width}: a rim needs at least 1 pixel")
    prediction, target = volumes_of(prediction=prediction, target=target)
    inside = mask_of(fat, target, "fat")
    allowed = torch.ones_like(inside) if body is None else mask_of(body, target, "body")
    rim = border(inside, width) & allowed
    beside = border(inside, 3 * width) & ~border(inside, width) & allowed
    if not bool(rim.any()) or not bool(beside.any()):
        raise ValueError(f"fat has {int(rim.sum())} voxels of rim and {int(beside.sum())} beside it: need both")
    true = float(target[rim].mean()), float(target[beside].mean())
    shown = float(prediction[rim].mean()), float(prediction[beside].mean())
    if min(true) <= 0 or shown[1] == 0:
        raise ValueError(f"target {true} and prediction {shown} in and beside the rim: need signal to compare with")
    return (shown[0] / true[0]) / (shown[1] / true[1])


def border(mask: Tensor, width: int) -> Tensor:
    """The pixels within ``width`` of the border of a mask, on both sides, slice by slice.

    Args:
        mask: boolean ``(D, H, W)``. The edge of the image is no border.
        width: pixels; 1 is the last inside and the first outside.
    """
    window = 2 * width + 1
    grown = F.max_pool2d(mask[:, None].float(), window, stride=1, padding=width)[:, 0] > 0
    left = F.max_pool2d((~mask)[:, None].float(), window, stride=1, padding=width)[:, 0] > 0
    return grown & left


def _gradient(volume: Tensor, scale: float) -> Tensor:
    """Gradient within slices behind a Gaussian, ``(2, D, H, W)``; the border of the image repeats."""
    reach = int(4 * scale) + 1
    padded = F.pad(volume[:, None], (reach,) * 4, mode="replicate")
    smooth = GaussianFilter(2, scale, truncated=4.0).to(volume.device)(padded)
    smooth = smooth[:, 0, reach - 1 : 1 - reach, reach - 1 : 1 - reach]
    down = (smooth[:, 2:, 1:-1] - smooth[:, :-2, 1:-1]) / 2
    right = (smooth[:, 1:-1, 2:] - smooth[:, 1:-1, :-2]) / 2
    return torch.stack([down, right])
