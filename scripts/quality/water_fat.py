# SPDX-License-Identifier: Apache-2.0
"""Where fat and where muscle lies, from a pair of scans with and without fat suppression; no label needed.

Coil shading cancels in the ratio of the two scans, in which fat and water make two humps. What one threshold between
them tells apart is then thinned to the inside of large regions. Fat includes fatty marrow. Muscle is water of middling
brightness, so that fluid and vessels drop out; cartilage is mostly too thin to be left.

Limits: the threshold is taken from the acquired pair, so fat whose suppression failed is not found, and a ratio
measured in the fat that is found is lower than in all fat. A prediction has no part in it: compared by these regions it
is compared fairly. Where an effusion fills much of a few slices, fluid may be taken for muscle.
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from scripts.quality.noise import DISTANCE_MM, blocks_of, noise_in_air, noise_in_body
from scripts.quality.regions import Regions

FAT, MUSCLE = "fat", "muscle"
LEAST_VOXELS = 200
"""Smaller regions are left out."""

_ABOVE_AIR = 0.1  # of the bright end: darker on PD is air, cortex or tendon
_FLUID = 0.6  # of the bright end on PDFS: brighter is fluid, and would be a hump of its own
_TAIL = 0.05
_BINS = 256
_MIDDLING = (0.5, 1.5)  # of the median of bulk water on PD
_THIN = {FAT: 1, MUSCLE: 2}  # pixels


def fat_and_muscle(plain: Tensor, suppressed: Tensor, body: Tensor) -> dict[str, Tensor]:
    """Find fat and muscle.

    Args:
        plain: acquired without fat suppression, ``(D, H, W)`` or ``(1, D, H, W)``, 1.0 the bright end in the body.
        suppressed: acquired with it, on the same grid and in place.
        body: non-zero in the body, same shape.

    Returns:
        Masks of the given shape by name; what is not found is not there.
    """
    shape = plain.shape
    pd, pdfs = (_smooth(one.float().reshape(shape[-3:])) for one in (plain, suppressed))
    seen = (body.reshape(shape[-3:]) != 0) & (pd > _ABOVE_AIR)
    ratio = (pdfs.clamp_min(1e-3) / pd.clamp_min(1e-3)).log()
    told = ratio[seen & (pdfs < _FLUID)]
    if told.numel() < LEAST_VOXELS:
        return {}
    limit = _between_humps(told.cpu().numpy())
    fat, water = _thinned(seen & (ratio < limit), _THIN[FAT]), _thinned(seen & (ratio > limit), _THIN[MUSCLE])
    middle = float(pd[water].median()) if bool(water.any()) else 0.0
    muscle = water & (pd > _MIDDLING[0] * middle) & (pd < _MIDDLING[1] * middle)
    found = {FAT: fat, MUSCLE: muscle}
    return {name: mask.reshape(shape) for name, mask in found.items() if int(mask.sum()) >= LEAST_VOXELS}


def _smooth(volume: Tensor) -> Tensor:
    return F.avg_pool2d(volume[:, None], 3, 1, 1, count_include_pad=False)[:, 0]


def _thinned(mask: Tensor, pixels: int) -> Tensor:
    return F.max_pool2d((~mask).float()[:, None], 2 * pixels + 1, 1, pixels)[:, 0] < 0.5


def _between_humps(values: np.ndarray) -> float:
    """The threshold of largest variance between the two sides (Otsu 1979), tails set to their ends."""
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    if not high > low:
        return float(low)
    count, edges = np.histogram(np.clip(values, low, high), _BINS)
    middle = (edges[1:] + edges[:-1]) / 2
    weight, moment = np.cumsum(count)[:-1], np.cumsum(count * middle)[:-1]
    total, mean = count.sum(), float((count * middle).sum())
    between = (mean * weight / total - moment) ** 2 / np.maximum(weight * (total - weight), 1)
    return float(edges[1 + int(between.argmax())])


def noise_of(volume: Tensor, body: Tensor) -> float:
    """Standard deviation of the noise of a scan: from its air, else from the finest detail of its body.

    Args:
        volume: magnitudes ``(D, H, W)`` or ``(1, D, H, W)``, 1.0 the bright end in the body.
        body: non-zero in the body, same shape.
    """
    plain, inside = volume.float().reshape(volume.shape[-3:]), body.reshape(body.shape[-3:]) != 0
    if min(plain.shape[1:]) >= 2 * DISTANCE_MM:
        found = noise_in_air(blocks_of(plain), Regions(plain, 1.0, inside))
        if found:
            return found
    return noise_in_body(plain, inside)
