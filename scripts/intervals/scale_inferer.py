# SPDX-License-Identifier: Apache-2.0
"""The scale head over whole volumes, and the spread that it looks at."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scripts.intervals.tissue_factors import FULL

SIDE = 256
"""Pixels of the shorter side of the slices that the head was trained on; others are brought there and back."""

Predict = Callable[[Tensor], Tensor]
"""A source ``(1, D, H, W)`` to its synthesis of the same shape."""


def mirrored_spread(predict: Predict, source: Tensor, prediction: Tensor) -> Tensor:
    """How far the synthesis of the mirrored source lies from that of the source, ``(1, D, H, W)``.

    A mirror image of a knee is a knee: the other leg's. What differs between the two is not known from the slice.

    Args:
        predict: the synthesis.
        source: ``(1, D, H, W)``, normalised.
        prediction: what `predict` makes of it.
    """
    mirrored = predict(source.flip(-1)).flip(-1)
    return (mirrored - prediction).abs()


def scale_of(
    network: nn.Module, source: Tensor, prediction: Tensor, spread: Tensor, target: int, batch_size: int = 8
) -> tuple[Tensor, Tensor]:
    """Scale of the error of a synthesis, and the tissues that the head takes it for.

    Args:
        network: a `ScaleNet`, in evaluation mode.
        source: ``(1, D, H, W)``, normalised.
        prediction: the synthesis, same shape, on the fixed scale.
        spread: see `mirrored_spread`.
        target: 0 or 1, the contrast that was synthesised.
        batch_size: slices at once.

    Returns:
        The scale, float32 ``(1, D, H, W)``, and the probability of each of the head's tissues in 255ths, uint8
        ``(T, D, H, W)``; on the CPU.
    """
    device = next(network.parameters()).device
    stack = torch.cat((source, prediction, spread)).transpose(0, 1).float()
    shape = (int(stack.shape[-2]), int(stack.shape[-1]))
    zoom = SIDE / min(shape)
    size = (round(zoom * shape[0]), round(zoom * shape[1]))
    scales, tissues = [], []
    with torch.inference_mode():
        for few in stack.split(batch_size):
            made = network(_resized(few.to(device), size), target)
            back = _resized(made, shape).cpu()
            scales.append(back[:, :1])
            tissues.append((FULL * back[:, 1:]).round().to(torch.uint8))
    scale, seen = (torch.cat(slices).transpose(0, 1).contiguous() for slices in (scales, tissues))
    return scale, seen


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[-2:]) == size:
        return images
    smaller = size[0] < images.shape[-2]
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=smaller)
