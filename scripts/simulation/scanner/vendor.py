# SPDX-License-Identifier: Apache-2.0
"""What a scanner's software does to an image: shading correction, sharpening, fading edges, whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.scanner.k_space import lines


@dataclass(frozen=True)
class Vendor:
    """Image processing of one scan.

    Args:
        normalisation: how much of the coil's shading a prescan corrects: 0 none, 1 all. Noise is corrected with it.
        sharpening: gain of the highest acquired spatial frequency, less one; 0 none.
        fade: share of the field of view at each end of the readout over which the image fades out; 0 none.
        counts: stored value of fully relaxed free fluid at the isocentre; values are whole numbers then. 0 leaves
            them as they are.
    """

    normalisation: float = 0.0
    sharpening: float = 0.0
    fade: float = 0.0
    counts: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.normalisation <= 1 or not 0 <= self.fade < 0.5 or min(self.counts, 1 + self.sharpening) < 0:
            raise ValueError(
                f"Need 0 <= normalisation <= 1, 0 <= fade < .5, counts >= 0 and sharpening >= -1, found {self}."
            )


def prescan(vendor: Vendor, shading: Tensor) -> Tensor:
    """Factor that corrects part of the coil's ``shading``, ``shading^-normalisation``."""
    return shading.pow(-vendor.normalisation)


def sharpen(vendor: Vendor, shape: tuple[int, int], matrix: tuple[float, float]) -> Tensor:
    """Factor over k-space of (phase, readout) ``shape``, ``1 + sharpening k^2 / kmax^2``, float32.

    Args:
        vendor: the processing.
        shape: of the image.
        matrix: acquired share of k-space along the two axes, in the same order.
    """
    rows, columns = (lines(size) / (share * size / 2) for size, share in zip(shape, matrix, strict=True))
    return (1 + vendor.sharpening * (rows.square()[:, None] + columns.square()) / 2).float()


def fading(vendor: Vendor, size: int) -> Tensor:
    """Factor along the readout, 1 in the middle and 0 at the very edges of the field of view, float64 ``(size,)``."""
    if vendor.fade == 0:
        return torch.ones(size, dtype=torch.float64)
    from_edge = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    from_edge = torch.minimum(from_edge, 1 - from_edge) / vendor.fade
    return torch.sin(from_edge.clamp(max=1) * torch.pi / 2) ** 2


def to_counts(magnitude: Tensor, counts: Tensor) -> Tensor:
    """Round to whole stored values and back; ``counts`` broadcasts, and 0 leaves values as they are."""
    scale = counts.clamp_min(1e-9)
    return torch.where(counts > 0, (magnitude * scale).round() / scale, magnitude)
