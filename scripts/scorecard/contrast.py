# SPDX-License-Identifier: Apache-2.0
"""How bright one tissue is beside another on a synthetic fat-suppressed image, region by region.

All volumes are ``(D, H, W)`` arrays in display orientation, on any linear scale: gains cancel. Means are plain means
of the magnitude. A measure whose regions are missing is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from scripts.scorecard.region_sets import FAT, MARROW, Region, RegionSet

TILE_MM = 5.0
"""Side of the tiles whose means tell how even marrow is: below the size of a lesion, above that of trabeculae."""
LEAST_UNEVENNESS = 0.10
"""A source whose marrow varies less counts as varying this much: real suppressed marrow is no flatter by itself."""

_TILE_SHARE = 0.75  # of a tile must lie in the region
_TINY = 1e-6


@dataclass(frozen=True)
class Measured:
    """One number and the single numbers behind it.

    Args:
        value: the number.
        parts: what it was made of, by name, for the machine-readable report.
    """

    value: float
    parts: Mapping[str, float] = field(default_factory=dict)


def region_means(volume: np.ndarray, regions: list[Region]) -> np.ndarray:
    """Mean of each region, ``(len(regions),)``."""
    return np.array([volume[r.slice][r.mask(*volume.shape[1:])].mean() for r in regions], dtype=np.float64)


def beside_muscle(volume: np.ndarray, regions: RegionSet, structures: tuple[str, ...]) -> Measured | None:
    """Brightness of a tissue over that of the muscle near it: mean over its regions.

    A surface coil makes what lies near it several times brighter than what lies deep. Fat or marrow are therefore
    compared with muscle of the same neighbourhood only (``near``); a region without muscle beside it is left out.
    """
    parts = {}
    for number, region in enumerate(regions.of(*structures)):
        muscle = [other for other in regions.of("muscle") if other.near and other.near == region.near]
        if muscle:
            reference = max(float(region_means(volume, muscle).mean()), _TINY)
            parts[_name(region, number)] = float(region_means(volume, [region])[0]) / reference
    return Measured(float(np.mean(list(parts.values()))), parts) if parts else None


def worst_suppression(source: np.ndarray, synthesis: np.ndarray, regions: RegionSet) -> Measured | None:
    """The fat or marrow region that kept most of its brightness relative to muscle.

    ``(synthesis / source in the region) / (synthesis / source in muscle)``: coil shading cancels, which both images
    share, so every region counts wherever it lies. Unsuppressed fat has 1; 0.10 to 0.18 is what remains of fat behind
    spectral suppression (olefinic fat and regrowth).
    """
    fat, muscle = regions.of(*FAT, *MARROW), regions.of("muscle")
    if not fat or not muscle:
        return None
    kept = max(float((region_means(synthesis, muscle) / _positive(region_means(source, muscle))).mean()), _TINY)
    ratios = region_means(synthesis, fat) / _positive(region_means(source, fat)) / kept
    parts = {
        _name(region, number): float(ratio) for number, (region, ratio) in enumerate(zip(fat, ratios, strict=True))
    }
    return Measured(float(ratios.max()), parts)


def over(volume: np.ndarray, shading: np.ndarray, regions: RegionSet, one: str, other: str) -> Measured | None:
    """Brightness of one tissue over another's, coil shading divided out: mean of region means over the same.

    Args:
        volume: the image.
        shading: what `coil_shading` gives for its source.
        regions: the regions.
        one: structure above the line.
        other: structure below it.
    """
    above, below = regions.of(one), regions.of(other)
    if not above or not below:
        return None
    flat = volume / shading
    high, low = region_means(flat, above), region_means(flat, below)
    parts = {_name(r, n): float(v) for n, (r, v) in enumerate(zip([*above, *below], [*high, *low], strict=True))}
    return Measured(float(high.mean() / max(low.mean(), _TINY)), parts)


def coil_shading(source: np.ndarray, regions: RegionSet) -> np.ndarray:
    """Coil shading over the volume, ``(D, H, W)``, around 1: a smooth surface through the source's fat and marrow.

    Fat and fatty marrow are equally bright on PD without suppression within some 15 %, and they lie all over the
    knee. The logarithm is a polynomial of degree 2 in slice, row and column (degree 1 below 10 regions, flat below 4),
    fitted by least squares with equal weight for each region.
    """
    places = regions.of(*FAT, *MARROW)
    degree = 2 if len(places) >= 10 else 1 if len(places) >= 4 else 0
    terms, logs, weights = [], [], []
    for region in places:
        row, column = np.nonzero(region.mask(*source.shape[1:]))
        terms.append(_terms(np.full(row.size, region.slice), row, column, source.shape, degree))
        logs.append(np.log(_positive(source[region.slice][row, column])))
        weights.append(np.full(row.size, row.size**-0.5))
    if degree == 0:
        return np.ones(source.shape)
    weight = np.concatenate(weights)
    fit, *_ = np.linalg.lstsq(np.concatenate(terms) * weight[:, None], np.concatenate(logs) * weight, rcond=None)
    fit[0] = 0.0  # the constant term is a gain
    grid = np.meshgrid(*(np.arange(side) for side in source.shape), indexing="ij")
    return np.asarray(np.exp(_terms(grid[0], grid[1], grid[2], source.shape, degree) @ fit))


def marrow_unevenness(
    source: np.ndarray, synthesis: np.ndarray, regions: RegionSet, pixel_mm: float
) -> Measured | None:
    """How uneven synthetic marrow is, relative to the source's.

    Marrow of all bones is cut into tiles of 5 mm. ``s`` is the coefficient of variation of the tiles' means in the
    source (coil shading for the most part, which the synthesis rightly keeps), at least 0.10. ``q`` is that of the
    tiles' means of the synthesis divided by those of the source: what the synthesis put there of its own. The value is
    ``sqrt(s^2 + q^2) / s``: 1 for a synthesis that scales all marrow alike, and 1.41 for one that takes all shading
    out. Blotches, a bone end left bright, or shading turned round raise it. Plain ``cv(synthesis) / cv(source)`` would
    let blotches pass that lie where the coil is dark.

    Args:
        source: the source.
        synthesis: the synthesis.
        regions: the regions.
        pixel_mm: mean pixel spacing [mm].
    """
    side = max(2, round(TILE_MM / pixel_mm))
    before, after = [], []
    for region in regions.of(*MARROW):
        mask = region.mask(*source.shape[1:])
        row, column = np.nonzero(mask)
        for top in range(row.min(), row.max() + 1, side):
            for left in range(column.min(), column.max() + 1, side):
                tile = (slice(top, top + side), slice(left, left + side))
                inside = mask[tile]
                if inside.sum() >= _TILE_SHARE * side * side:
                    before.append(source[region.slice][tile][inside].mean())
                    after.append(synthesis[region.slice][tile][inside].mean())
    if len(before) < 4:
        return None
    was = np.array(before, dtype=np.float64)
    own = np.array(after, dtype=np.float64) / _positive(was)
    s, q = max(_variation(was), LEAST_UNEVENNESS), _variation(own)
    return Measured(float(np.hypot(s, q) / s), {"source": _variation(was), "added": q, "tiles": float(len(before))})


def _variation(values: np.ndarray) -> float:
    return float(values.std() / max(float(values.mean()), _TINY))


def _terms(number: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, ...], degree: int) -> np.ndarray:
    """Monomials of slice, row and column, each scaled to -1..1, the constant first."""
    z, y, x = (
        2 * np.asarray(index, dtype=np.float64) / max(side - 1, 1) - 1
        for index, side in zip((number, row, column), shape, strict=True)
    )
    powers = [(i, j, k) for i in range(degree + 1) for j in range(degree + 1 - i) for k in range(degree + 1 - i - j)]
    return np.stack([z**i * y**j * x**k for i, j, k in powers], axis=-1)


def _positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(np.asarray(values, dtype=np.float64), _TINY)


def _name(region: Region, number: int) -> str:
    return f"{number + 1} {region.structure} slice {region.slice}"
