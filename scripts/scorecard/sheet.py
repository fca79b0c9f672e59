# SPDX-License-Identifier: Apache-2.0
"""The picture beside the numbers: every third slice, none chosen, source over synthesis, fixed windows."""

from __future__ import annotations

import numpy as np

from scripts.handlers.panel import blank, captioned, stack
from scripts.handlers.png import encode_png
from scripts.report.windows import fixed_window

STEP = 3
COLUMNS = 4


def draw_sheet(source: np.ndarray, synthesis: np.ndarray, contrasts: tuple[str, str] = ("PD", "PDFS")) -> bytes:
    """Draw every third slice, beginning with the first.

    Args:
        source: ``(D, H, W)`` in display orientation on the fixed scale.
        synthesis: the same.
        contrasts: names of both; each has one fixed window, whatever the images hold.

    Returns:
        A PNG; rows of source and of synthesis below it, four slices to a row.
    """
    numbers = range(0, source.shape[0], STEP)
    rows = []
    for start in range(0, len(numbers), COLUMNS):
        some = numbers[start : start + COLUMNS]
        for volume, contrast, kind in ((source, contrasts[0], "source"), (synthesis, contrasts[1], "synthesis")):
            tiles = [_tile(volume[number], contrast, f"{kind} {contrast}", f"slice {number}") for number in some]
            tiles += [blank(*tiles[0].shape[:2])] * (COLUMNS - len(tiles))
            rows.append(stack(tiles, axis=1))
    return encode_png(stack(rows, axis=0))


def _tile(image: np.ndarray, contrast: str, title: str, note: str) -> np.ndarray:
    grey = fixed_window(contrast).apply(image)
    return captioned(np.repeat(grey[..., None], 3, axis=2), title, note)
