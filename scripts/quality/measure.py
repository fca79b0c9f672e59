# SPDX-License-Identifier: Apache-2.0
"""What the gate measures on a volume before a network sees it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from scripts.body import bright_end
from scripts.quality.fat import polarity
from scripts.quality.metal import void
from scripts.quality.motion import ghosts, jumps
from scripts.quality.noise import blocks_of, noise_in_air, noise_in_body
from scripts.quality.regions import find_regions

LEAST_PIXELS = 64
"""Fewer rows or columns show a knee too coarsely to judge it."""

BRIGHT = 0.9
"""The quantile of the body that stands for bright tissue: fat on PD, muscle and cartilage on PDFS."""

_EMPTY_MM2 = 100.0
_GHOST = 0.2  # of bright tissue: what is darker and reaches the edge of the image may be a ghost, and no body


@dataclass(frozen=True)
class Measures:
    """What was measured; None where it cannot be.

    Args:
        body_mm2: median area of the body in a slice.
        empty_slices: slices without body.
        saturated: share of the body that has the largest value of all; a scan has one such voxel or a few.
        snr: bright tissue over the standard deviation of the noise in air.
        snr_in_body: the same with the noise from fine detail in the body: too high in an interpolated image, but there
            where air is blanked or missing.
        polarity: below zero for fine dark structures on bright fat, see `scripts.quality.fat`.
        void_mm2: area without signal within the body, see `scripts.quality.metal`.
        ghosts: standard deviation of structure in air over bright tissue.
        jumps_mm: displacement of slices against their neighbours.
    """

    body_mm2: float
    empty_slices: int
    saturated: float
    snr: float | None = None
    snr_in_body: float | None = None
    polarity: float | None = None
    void_mm2: float | None = None
    ghosts: float | None = None
    jumps_mm: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """By name, rounded to four digits."""
        return {name: None if value is None else float(f"{value:.4g}") for name, value in asdict(self).items()}


def measure(volume: Tensor, spacing_mm: tuple[float, float, float], plane: str) -> Measures | None:
    """Measure one volume; half a second for 36 slices of 320 x 320.

    Args:
        volume: magnitudes ``(slices, rows, columns)`` in display orientation, on the CPU, 1.0 the bright end in the
            body.
        spacing_mm: between slices, rows and columns.
        plane: sagittal, coronal or axial.

    Returns:
        The measures, or None for slices too small to judge.
    """
    if min(volume.shape[1:]) < LEAST_PIXELS:
        return None
    with torch.inference_mode():
        return _measure(volume.float(), (spacing_mm[1] * spacing_mm[2]) ** 0.5, plane)


def _measure(volume: Tensor, pixel_mm: float, plane: str) -> Measures:
    blocks = blocks_of(volume)
    ends = blocks.air_ends
    regions = find_regions(volume, pixel_mm, plane, ends)
    area = regions.body.sum((1, 2)) * regions.pixel_mm**2
    tissue = regions.image[regions.body]
    most = volume.max()
    inside = max(1.0, float(area.sum()) / pixel_mm**2)
    empty = int((area < _EMPTY_MM2).sum())
    seen = Measures(float(area.quantile(0.5)), empty, float((volume >= most).sum()) / inside)
    if not len(tissue):
        return seen
    bright = max(float(bright_end(tissue, BRIGHT)), 1e-6)
    in_air = noise_in_air(blocks, regions)
    in_body = noise_in_body(volume, regions.body)
    surely = find_regions(volume, pixel_mm, plane, max(ends, _GHOST * bright))
    sigma = in_body if in_air is None else in_air
    return replace(
        seen,
        snr=None if in_air is None else bright / max(in_air, 1e-6),
        snr_in_body=bright / max(in_body, 1e-6),
        polarity=polarity(volume, pixel_mm, plane, ends),
        void_mm2=void(regions, sigma),
        ghosts=None if blocks.blanked else ghosts(surely, bright),
        jumps_mm=jumps(regions),
    )
