# SPDX-License-Identifier: Apache-2.0
"""False bright blobs: what a synthesis adds to a knee that has no lesion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.utils import convert_to_tensor
from torch import Tensor

from scripts.metrics.masked import mask_of, volumes_of

THRESHOLD = 0.15
"""Brighter than the clean target by so much, on the fixed scale where 1.0 is the contrast's bright end."""
LEAST_VOXELS = 12
"""Smaller blobs are no lesion: at 0.5 x 0.5 x 3.5 mm this is a disc of 2 mm in one slice."""


@dataclass(frozen=True)
class Blob:
    """One blob.

    Attributes:
        voxels: how many.
        peak: largest excess over the clean target.
        centre: mean slice, row and column.
    """

    voxels: int
    peak: float
    centre: tuple[float, float, float]


def bright_blobs(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    threshold: float = THRESHOLD,
    least_voxels: int = LEAST_VOXELS,
) -> list[Blob]:
    """Connected regions in which the prediction exceeds the clean target.

    Voxels of ``mask`` with ``prediction - target > threshold``, joined across faces, within and across slices. Call it
    for lesion-free volumes, and count: blobs per knee is the false-alarm rate of a reader that calls every such blob.
    Call it once per tissue to know where they lie; a blob across a border then counts in both.

    Limits: displaced edges and a rim at fat make thin blobs, so give masks without the outermost pixel of a
    tissue. Against a noisy target it counts noise. Take the gain out first
    (:func:`scripts.metrics.image.match_gain`): else a bright prediction is one large blob.

    Args:
        prediction: ``(D, H, W)`` or ``(1, D, H, W)``, fixed scale.
        target: noise-free, same shape and scale.
        mask: where to look, same shape, non-zero inside.
        threshold: excess, fixed scale.
        least_voxels: smallest blob that counts.

    Returns:
        The blobs, largest first.

    Raises:
        ValueError: for shapes that differ, values that are not finite or an empty mask.
    """
    prediction, target = volumes_of(prediction=prediction, target=target)
    excess = (prediction - target) * mask_of(mask, target)
    above = excess > threshold
    labels = components(above)[above]
    if labels.numel() == 0:
        return []
    places, heights = above.nonzero(), excess[above]
    order = labels.argsort(stable=True)
    parts = torch.unique_consecutive(labels[order], return_counts=True)[1].tolist()
    blobs = [
        Blob(len(part), float(heights[part].max()), tuple(places[part].double().mean(dim=0).tolist()))
        for part in order.split(parts)
        if len(part) >= least_voxels
    ]
    return sorted(blobs, key=lambda blob: -blob.voxels)


def components(mask: Tensor) -> Tensor:
    """Number the connected parts of a mask; voxels are joined across faces.

    On any device, by handing the smallest number on to neighbours until nothing changes. MONAI's functions for this
    need packages that only tests have here (scikit-image, or scipy).

    Args:
        mask: non-zero inside, any shape.

    Returns:
        Whole numbers of the shape of ``mask``: 0 outside, 1, 2, ... in the parts, in the order of their first voxels.
    """
    inside = convert_to_tensor(mask, track_meta=False) != 0
    count = int(inside.sum())
    numbers = torch.full(inside.shape, -1, dtype=torch.long, device=inside.device)
    numbers[inside] = torch.arange(count, device=inside.device)
    pairs = []
    for dim in range(inside.ndim):
        size = inside.shape[dim]
        one, other = (numbers.narrow(dim, start, max(size - 1, 0)).flatten() for start in (0, min(1, size)))
        joined = (one >= 0) & (other >= 0)
        pairs.append(torch.stack([one[joined], other[joined]]))
    one, other = torch.cat(pairs, dim=1)
    label = torch.arange(count, device=inside.device)
    while True:
        least = torch.minimum(label[one], label[other])
        lower = label.scatter_reduce(0, one, least, "amin").scatter_reduce(0, other, least, "amin")
        lower = lower[lower]  # a voxel's number is itself a voxel, which may know a smaller one by now
        if torch.equal(lower, label):
            break
        label = lower
    result = torch.zeros_like(numbers)
    if count:
        result[inside] = torch.unique(label, return_inverse=True)[1] + 1
    return result
