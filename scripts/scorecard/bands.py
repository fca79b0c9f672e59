# SPDX-License-Identifier: Apache-2.0
"""How bright suppressed fat and marrow are beside muscle on real fat-suppressed knees, and how dark the air is.

Measured on eight axial slices of eight knees (3-D fast spin echo with fat suppression, mridata.org, Stanford; prepared
by github LarsonLab/dnlinv @6dc762c, ``reproducibility/3_enlive_data/knee_multiple``; CC BY-NC 4.0, no pixel of them is
here) in the regions of ``regions/pdfs_axial.json``, by `measure_bands`. Each pair is fat, or marrow of a posterior
condyle, and the gastrocnemius nearest to it: 23 pairs of fat, 16 of marrow.

The noise of such images is not small: marrow is three to four times the air's. The images are root sums of squares over
coils, whose noise adds its own mean square to that of the signal whatever the number of coils, so that
``signal^2 = median(m^2) - median(air^2)`` takes the bias out; the median keeps vessels in the fat from counting.

A band is the interval in which the next pair lies with a probability of 95 % (prediction interval of the logarithms
by Student's t). It is wide because of the coils: superficial fat lies nearer to them than muscle, marrow farther.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from scripts.scorecard.region_sets import FAT, MARROW, Region, RegionSet

FAT_TO_MUSCLE = (0.37, 0.79)
"""Subcutaneous fat over the muscle beside it."""
MARROW_TO_MUSCLE = (0.17, 0.47)
"""Fatty marrow over the muscle beside it."""
AIR = 0.14
"""99th percentile of the air, over the 99.5th percentile in the body: the noisiest of the eight, rounded up."""


def measure_bands(magnitude: np.ndarray, regions: RegionSet) -> dict[str, tuple[float, float]]:
    """Measure the bands of this module.

    Args:
        magnitude: slices ``(n, H, W)``, root sum of squares over coils; each a knee of its own.
        regions: muscle, fat, marrow and air in each slice.

    Returns:
        Lower and upper end under ``fat`` and ``marrow``.
    """
    pairs = pair_ratios(magnitude, regions)
    return {name: prediction_interval(np.array(values)) for name, values in pairs.items()}


def pair_ratios(magnitude: np.ndarray, regions: RegionSet) -> dict[str, list[float]]:
    """Signal of each region of fat and marrow over that of the muscle near it, noise taken out."""
    ratios: dict[str, list[float]] = {"fat": [], "marrow": []}
    for name, structures in (("fat", FAT), ("marrow", MARROW)):
        for region in regions.of(*structures):
            muscle = [other for other in regions.of("muscle") if other.near == region.near]
            air = np.concatenate([_square(magnitude, r) for r in regions.of("air") if r.slice == region.slice])
            below = np.mean([_signal(_square(magnitude, other), air) for other in muscle])
            ratios[name].append(float(_signal(_square(magnitude, region), air) / below))
    return ratios


def prediction_interval(values: np.ndarray, share: float = 0.95) -> tuple[float, float]:
    """Where the next value lies with the given probability, if the logarithms are normally distributed.

    Student's quantile is expanded in the degrees of freedom (Abramowitz and Stegun 26.7.5).
    """
    logs = np.log(values)
    degrees = len(logs) - 1
    z = NormalDist().inv_cdf(0.5 + share / 2)
    t = z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    half = t * float(logs.std(ddof=1)) * math.sqrt(1 + 1 / len(logs))
    return math.exp(float(logs.mean()) - half), math.exp(float(logs.mean()) + half)


def _square(magnitude: np.ndarray, region: Region) -> np.ndarray:
    image = magnitude[region.slice].astype(np.float64)
    return np.asarray(image[region.mask(*image.shape)] ** 2)


def _signal(square: np.ndarray, air: np.ndarray) -> float:
    return math.sqrt(max(float(np.median(square) - np.median(air)), 0.0))
