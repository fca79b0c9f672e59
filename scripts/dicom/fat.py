# SPDX-License-Identifier: Apache-2.0
"""Pixels as a tie-break: is the fat under the skin bright or dark, where a header says nothing of fat suppression?

Never more than that. Coil shading, failed suppression and a thin patient all blur the ratio, so it decides only where
it is clear and where no fact of the header would be overruled.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scripts.dicom.contrast import PDFS
from scripts.dicom.read import named_headers, read_slices
from scripts.dicom.stack import Stack
from scripts.errors import DecodeError

DARK, BRIGHT = 1.3, 2.3
"""Rim over inner tissue: without suppression fat is two to four times as bright as muscle, with it they are alike."""

RIM_MM = (2.0, 6.0)
"""Depth at which there is subcutaneous fat and no longer skin."""

DEEP_MM = 20.0
"""From here on there is muscle; its darker part is taken, since marrow is fat too."""

_AIR = 0.06
_LEAST_PIXELS = 200


def settle(stack: Stack) -> Stack:
    """Look at three slices of a stack whose header leaves fat suppression open; any other comes back as it is."""
    if not (stack.fat_open and stack.usable and stack.spacing_mm) or stack.localizer:
        return stack
    chosen = sorted({round(share * (len(stack.files) - 1)) for share in (0.25, 0.5, 0.75)})
    try:
        slices = read_slices(named_headers([stack.files[index] for index in chosen]))
    except DecodeError:
        return stack  # whoever reads the whole of it will say why
    ratio = fat_ratio(slices, stack.spacing_mm[1:])
    if ratio is None or DARK < ratio < BRIGHT:
        return replace(stack, evidence=(*stack.evidence, "pixels leave it open whether fat is suppressed"))
    if ratio >= BRIGHT:
        return replace(stack, evidence=(*stack.evidence, f"pixels: fat under the skin is bright (ratio {ratio:.1f})"))
    seen = f"pixels: fat under the skin is as dark as muscle (ratio {ratio:.1f})"
    return replace(stack, contrast=PDFS, evidence=(*stack.evidence, seen))


def fat_ratio(slices: np.ndarray, pixel_mm: tuple[float, float]) -> float | None:
    """Compare the rim of the body with its inside.

    Args:
        slices: (n, rows, columns), magnitudes on any scale.
        pixel_mm: distance between rows and between columns.

    Returns:
        The median over the slices of (70th percentile of the rim) / (20th percentile of the inside), or None where no
        slice has enough of both.
    """
    top = float(np.percentile(slices, 99.5))
    step = 0.5 * (pixel_mm[0] + pixel_mm[1])
    ratios = []
    for image in slices:
        depth = step * _depth(_air_around(image <= _AIR * top), int(np.ceil(DEEP_MM / step)))
        rim, inside = image[(depth > RIM_MM[0]) & (depth <= RIM_MM[1])], image[depth >= DEEP_MM]
        if min(rim.size, inside.size) >= _LEAST_PIXELS:
            ratios.append(float(np.percentile(rim, 70)) / max(float(np.percentile(inside, 20)), 1e-6 * top))
    return float(np.median(ratios)) if ratios else None


def _air_around(dark: np.ndarray) -> np.ndarray:
    """Give the dark pixels that are connected to the border of the image: air, but not dark tissue or bone."""
    air = np.zeros_like(dark)
    air[[0, -1]], air[:, [0, -1]] = dark[[0, -1]], dark[:, [0, -1]]
    while True:
        grown = _grown(air) & dark
        if (grown == air).all():
            return air
        air = grown


def _depth(air: np.ndarray, most: int) -> np.ndarray:
    """Count the steps from the air to each pixel, up to ``most``."""
    depth = np.zeros(air.shape, dtype=int)
    for _ in range(most):
        depth += ~air
        air = _grown(air)
    return depth


def _grown(mask: np.ndarray) -> np.ndarray:
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
