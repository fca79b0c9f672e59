# SPDX-License-Identifier: Apache-2.0
"""How bright muscle is, told from both contrasts of a knee without a label: the unit that radiologists think in.

Fat suppression takes the signal of fat and marrow and leaves that of water, so the ratio of the two contrasts has two
modes. Of what keeps its signal and is even over several pixels, muscle is by far the most in a knee.

One number stands for a tissue that a surface coil shows brighter here and darker there. On simulated knees it is mostly
within a tenth of the median over all muscle, and up to twice that under steep shading or where suppression failed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.quality.regions import grow, local_mean

EVEN_MM = 2.5
"""Side of the neighbourhood that has to be even."""
UNEVEN = 0.25
"""Standard deviation over mean in that neighbourhood, at the most: noise of muscle at SNR 5 is still even."""
DARKEST, BRIGHTEST = 0.06, 0.55
"""Of muscle: on both contrasts at the least; on PD at the most, where fat whose suppression failed is brighter."""
LEAST_PIXELS = 500

_FLOOR = 0.02


def muscle_mask(pd: Tensor, pdfs: Tensor, body: Tensor, pixel_mm: float) -> Tensor:
    """Pixels that are muscle, or other even tissue of water, of which there is less; ``(slices, rows, columns)``.

    Args:
        pd: the plain contrast ``(slices, rows, columns)`` on its fixed scale.
        pdfs: the fat-suppressed one, acquired or synthesised, on its own.
        body: where to look.
        pixel_mm: size of a pixel.
    """
    width = 2 * max(1, round(EVEN_MM / pixel_mm / 2)) + 1
    means = [local_mean(volume, width) for volume in (pd, pdfs)]
    even = ~grow(~body, width)
    for volume, mean in zip((pd, pdfs), means, strict=True):
        deviation = (local_mean(volume.square(), width) - mean.square()).clamp_min(0).sqrt()
        even &= (mean > DARKEST) & (deviation < UNEVEN * mean)
    if int(even.sum()) < LEAST_PIXELS:
        return torch.zeros_like(even)
    ratio = torch.log((means[1] + _FLOOR) / (means[0] + _FLOOR))
    return even & (ratio > _valley(ratio[even])) & (means[0] < BRIGHTEST)


def muscle_signal(pd: Tensor, pdfs: Tensor, body: Tensor, pixel_mm: float, of: Tensor) -> float | None:
    """Median of a volume in muscle; None where too little is found.

    Args:
        pd: see `muscle_mask`.
        pdfs: see there.
        body: see there.
        pixel_mm: see there.
        of: the volume that is asked for, same shape.
    """
    found = of[muscle_mask(pd, pdfs, body, pixel_mm)]
    return float(found.median()) if len(found) >= LEAST_PIXELS else None


def _valley(values: Tensor) -> Tensor:
    """The threshold between two modes that leaves least variance within each (Otsu 1979)."""
    low, high = torch.quantile(values[:: max(1, len(values) // 1_000_000)], torch.tensor([0.02, 0.98]))
    count = torch.histc(values.clamp(low, high), 100, float(low), float(high)).double()
    middles = torch.linspace(float(low), float(high), 100, dtype=torch.float64)
    below, mass = count.cumsum(0), (count * middles).cumsum(0)
    above = (below[-1] - below).clamp_min(1)
    means = mass / below.clamp_min(1), (mass[-1] - mass) / above
    return middles[(below * above * (means[0] - means[1]).square()).argmax()].float()
