# SPDX-License-Identifier: Apache-2.0
"""The hole that metal leaves: an area within the body without any signal, larger than a tendon or cortical bone."""

from __future__ import annotations

from torch import Tensor

from scripts.quality.regions import Regions, brightest, local_mean

SOLID_MM = 7.0
"""Side of the square that is empty: tendons, menisci and cortical bone are thinner."""

DARK = 0.06
"""What is darker, without the noise, is empty."""

_BRIGHT_AROUND = 0.35
_AROUND_MM = 50.0
_OVER_NOISE = 1.7  # the brightest of several means of noise pixels, in standard deviations


def void(regions: Regions, sigma: float) -> float:
    """Area of empty squares in the body over all slices [mm^2].

    What lies where the coil sees nothing is not counted: there must be bright tissue within 25 mm.

    Args:
        regions: body and air.
        sigma: standard deviation of the noise.
    """
    image = regions.image
    ends = (DARK**2 + (_OVER_NOISE * sigma) ** 2) ** 0.5
    empty = brightest(image, _odd(regions, SOLID_MM)) < ends
    around = local_mean(
        brightest(local_mean(image, _odd(regions, 5.0)), _odd(regions, 12.0)), _odd(regions, _AROUND_MM)
    )
    found: Tensor = empty & regions.inside(SOLID_MM) & (around > _BRIGHT_AROUND)
    return float(found.sum()) * regions.pixel_mm**2


def _odd(regions: Regions, length_mm: float) -> int:
    return 2 * regions.pixels(length_mm / 2) + 1
