# SPDX-License-Identifier: Apache-2.0
"""Does an image look as if its fat were suppressed? Told by fine structure, since a surface coil blurs brightness.

Without suppression fat is the bright ground, and what lies in it or between it is thin and dark: cortical bone, septa,
vessels, tendons. With suppression fat and marrow are the dark ground, and thin structures are bright: cartilage, fluid,
vessels, skin. So the brightness relative to the neighbourhood is skewed to the dark side in PD and not in PDFS, however
bright the coil shows that neighbourhood.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.quality.regions import Regions, find_regions, local_mean

PIXEL_MM = 1.0
NEIGHBOURHOODS_MM = (5.0, 15.0)
TAILS = (0.02, 0.1)
DEPTH_MM = 7.0
"""Below the skin and its blurred edge."""

_SLICES = 7
_LEAST_PIXELS = 2000
_DARKEST = 0.01


def polarity(volume: Tensor, pixel_mm: float, plane: str, air_ends: float = 0.0) -> float | None:
    """Mean skewness of the local contrast, -1 (dark structures on bright ground) to 1; arguments as of `find_regions`.

    Bowley's skewness of two tails, at two sizes of the neighbourhood. None where there is too little body.
    """
    regions = find_regions(middle_slices(volume), pixel_mm, plane, air_ends, PIXEL_MM)
    inside = regions.inside(DEPTH_MM)
    if int(inside.sum()) < _LEAST_PIXELS:
        return None
    found = [_skewness(_contrast(regions, size)[inside], tail) for size in NEIGHBOURHOODS_MM for tail in TAILS]
    return sum(found) / len(found)


def middle_slices(volume: Tensor) -> Tensor:
    """At most seven slices spread over the middle three fifths, where a knee is not cut obliquely."""
    if len(volume) <= _SLICES:
        return volume
    places = torch.linspace(0.2, 0.8, _SLICES) * (len(volume) - 1)
    return volume[places.round().long()]


def _contrast(regions: Regions, size_mm: float) -> Tensor:
    width = 2 * regions.pixels(size_mm / 2) + 1
    return regions.image / local_mean(regions.image, width).clamp_min(_DARKEST) - 1


def _skewness(values: Tensor, tail: float) -> float:
    low, middle, high = torch.quantile(values, torch.tensor([tail, 0.5, 1 - tail]))
    return float((high + low - 2 * middle) / (high - low).clamp_min(1e-6))
