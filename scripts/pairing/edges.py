# SPDX-License-Identifier: Apache-2.0
"""What two contrasts of one knee have in common, as fields over the image: directions of edges, and edges of water."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_FLAT_SHARE = 0.08  # of the image: wider than anatomy's edges, narrower than a coil's shading
_FLAT_FLOOR = 0.15  # of the bright end: air is not amplified
_AIR = 0.1  # of the fixed scale
_FAT_SHARE = 0.25  # of a knee on PD, at least, is fat: its brightest quarter
_FAT_REACH = 0.05  # of the image: how far around fat is looked for
_FAT_PRIOR = 0.02  # share of fat around below which the common brightness counts


def smooth(images: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing of images ``(N, H, W)``, sigma in pixels."""
    reach = max(int(3 * sigma), 1)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
    weights = (kernel / kernel.sum()).tolist()
    padded = F.pad(images[:, None], [reach] * 4, mode="replicate")[:, 0]
    # Sums of moved images: for kernels this short several times as fast as a convolution of one channel.
    for axis in (1, 2):
        side = padded.shape[axis] - 2 * reach
        total = padded.narrow(axis, 0, side) * weights[0]
        for step, weight in enumerate(weights[1:], 1):
            total.add_(padded.narrow(axis, step, side), alpha=weight)
        padded = total
    return padded


def directions(images: Tensor, inside: Tensor, sigma: float = 1.0) -> tuple[Tensor, Tensor]:
    """Normalised gradient fields (Haber and Modersitzki 2006), down and right, of images ``(N, H, W)``.

    Args:
        images: magnitudes.
        inside: bool, where there are data; its border is no edge.
        sigma: of the smoothing before [pixels].
    """
    down, right = torch.gradient(smooth(images, sigma), dim=(1, 2))
    strength = (down.square() + right.square()).sqrt()
    edge = strength.mean(dim=(1, 2), keepdim=True) + 1e-9  # an edge stands out from the mean gradient, noise does not
    scale = (strength.square() + edge.square()).sqrt() / _eroded(inside)
    return down / scale, right / scale


def flattened(images: Tensor, inside: Tensor, power: float, sigma: float = 0.8) -> tuple[Tensor, Tensor]:
    """Gradients, down and right, of images whose coil shading is divided out and whose contrast is compressed.

    Args:
        images: magnitudes ``(N, H, W)``.
        inside: bool, where there are data.
        power: of the compression; 0 is the logarithm.
        sigma: of the smoothing before [pixels].
    """
    broad = _broad(images, max(images.shape[1] * _FLAT_SHARE, 3.0))
    even = smooth(images / (broad + _FLAT_FLOOR * _bright(broad) + 1e-9), sigma).clamp(min=0)
    return gradients(even**power if power > 0 else (even + 0.1).log(), inside)


def gradients(images: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Differences, down and right, where there are data ``(N, H, W)``."""
    down, right = torch.gradient(images, dim=(1, 2))
    there = _eroded(inside)
    return down * there, right * there


def water(images: Tensor, fat: Tensor) -> Tensor:
    """What on PDFS is brighter than the fat that its suppression left, with the coil's shading divided out.

    Args:
        images: PDFS ``(N, H, W)``.
        fat: brightness that fat has there, the same shape; see `fat_left`.
    """
    broad = _broad(images, max(images.shape[1] * _FLAT_SHARE, 3.0))
    return (images - fat).clamp(min=0) / (broad + _FLAT_FLOOR * _bright(broad) + 1e-9)


def fat_left(image: Tensor, label: Tensor, inside: Tensor, shift: tuple[int, int]) -> Tensor:
    """How bright fat still is on PDFS, as a map as wide as a coil's shading, on PDFS' grid.

    Args:
        image: PD ``(N, H, W)``.
        label: PDFS, the same slices.
        inside: where PD has data.
        shift: about where PD's places lie on PDFS (right, down) [pixels]; half a centimetre off does no harm.
    """
    broad = _broad(image, max(image.shape[1] * _FLAT_SHARE, 3.0))
    even = image / (broad + _FLAT_FLOOR * _bright(broad) + 1e-9)
    there = torch.roll(label, (-shift[1], -shift[0]), (1, 2))
    body = inside & (image > _AIR)
    if not bool(body.any()):
        return torch.zeros_like(label)
    fat = body & (there > 0) & (even > _quantile(even[body], 1 - _FAT_SHARE))  # marrow and what lies under the skin
    if not bool(fat.any()):
        return torch.zeros_like(label)
    common = float(there[fat].median())
    reach = max(image.shape[1] * _FAT_REACH, 3.0)
    level = (_broad(there * fat, reach) + _FAT_PRIOR * common) / (_broad(fat.float(), reach) + _FAT_PRIOR)
    return torch.roll(level, (shift[1], shift[0]), (1, 2))


def _bright(images: Tensor) -> float:
    return _quantile(images, 0.98)


def _quantile(values: Tensor, share: float) -> float:
    flat = values.flatten()
    return float(torch.quantile(flat[:: max(1, flat.numel() // 100_000)], share))


def _broad(images: Tensor, sigma: float) -> Tensor:
    """Wide smoothing, done on every fourth pixel."""
    size = list(images.shape[1:])
    small = F.interpolate(images[:, None], size=[max(side // 4, 4) for side in size], mode="area")[:, 0]
    return F.interpolate(smooth(small, sigma / 4)[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def _eroded(inside: Tensor, by: int = 3) -> Tensor:
    """1 inside, a few pixels away from the border of the data, and nearly 0 elsewhere."""
    if bool(inside.all()):
        return torch.ones((), dtype=torch.float32)
    outside = F.max_pool2d((~inside)[:, None].float(), 2 * by + 1, 1, by)[:, 0]
    return (1 - outside).clamp(min=1e-6)
