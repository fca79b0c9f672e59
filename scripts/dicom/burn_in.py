# SPDX-License-Identifier: Apache-2.0
"""The word SYNTHETIC in the pixels, for viewers and screenshots that show no header.

It stands in one corner of all slices, so that it does not jump, and only where the source shows air in each of them: a
mark over tissue would hide something. Its grey lies within the fixed window and below the brightest tissue, so that a
viewer that windows by the pixels' range shows the knee as before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WORD = "SYNTHETIC"
GREY = 700
"""Stored value of the letters: light grey in the fixed window of 0 to 1000."""

AIR = 0.1
"""Share of the bright end of a volume that air stays below."""

# Capitals of 5 x 7 pixels, a number per row, the highest of five bits at the left.
_LETTERS = {
    "S": (0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110),
    "Y": (0b10001, 0b10001, 0b01010, 0b00100, 0b00100, 0b00100, 0b00100),
    "N": (0b10001, 0b11001, 0b11101, 0b10111, 0b10011, 0b10001, 0b10001),
    "T": (0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100),
    "H": (0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001),
    "E": (0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111),
    "I": (0b111, 0b010, 0b010, 0b010, 0b010, 0b010, 0b111),
    "C": (0b01111, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b01111),
}
_HEIGHT = 7
_COLUMNS_PER_STEP = 270
"""The word is 51 pixels of the font long: a fifth of 256 columns with one pixel for each, of 512 with two."""
_MARGIN = 4
"""Pixels of the font between the word and the edge of the image, and air around it."""
_MEAN_OVER = 9
"""Side in pixels of the square over which noise is averaged before it is compared with tissue."""


@dataclass(frozen=True)
class Corner:
    """Where the word stands in each slice.

    Args:
        name: as a person sees the stored image, "top left corner".
        top: first row of the letters.
        left: first column.
        step: pixels of the image for one of the font.
        upwards: written from bottom to top, for a narrow strip of air at a side.
    """

    name: str
    top: int
    left: int
    step: int
    upwards: bool


def find_corner(source: np.ndarray, bright_end: float) -> Corner | None:
    """Choose the corner that is darkest over all slices, if it is air there; written upwards only if it must be.

    Args:
        source: acquired magnitudes (slices, rows, columns), in the pixel order of the images to mark.
        bright_end: what counts as bright in them; air stays below `AIR` of it.

    Returns:
        None where the matrix has no room for the word, or no corner is air in every slice.
    """
    _, rows, columns = source.shape
    step = max(1, round(columns / _COLUMNS_PER_STEP))
    margin = _MARGIN * step
    for upwards in (False, True):
        tall, wide = (length + 2 * margin for length in _letters(step, upwards).shape)
        if 2 * tall > rows or 2 * wide > columns:
            continue
        found: list[tuple[float, Corner]] = []
        for vertical, top in (("top", 0), ("bottom", rows - tall)):
            for side, left in (("left", 0), ("right", columns - wide)):
                level = _brightest(source[:, top : top + tall, left : left + wide])
                corner = Corner(f"{vertical} {side} corner", top + margin, left + margin, step, upwards)
                found.append((level, corner))
        level, corner = min(found, key=lambda entry: entry[0])
        if level < AIR * bright_end:
            return corner
    return None


def burn(stored: np.ndarray, corner: Corner) -> np.ndarray:
    """Write the word into each slice; nothing but its letters changes.

    Args:
        stored: (slices, rows, columns).
        corner: see `find_corner`.

    Returns:
        A copy.
    """
    letters = _letters(corner.step, corner.upwards)
    marked = stored.copy()
    rows, columns = letters.shape
    place = marked[:, corner.top : corner.top + rows, corner.left : corner.left + columns]
    place[:, letters] = GREY
    return marked


def _brightest(patch: np.ndarray) -> float:
    """Brightest local mean: tissue is bright together, noise is not."""
    square = (_MEAN_OVER, _MEAN_OVER)
    return float(np.lib.stride_tricks.sliding_window_view(patch, square, axis=(1, 2)).mean(axis=(3, 4)).max())


def _letters(step: int, upwards: bool) -> np.ndarray:
    """The word as (rows, columns) of truth, one empty column of the font between letters."""
    columns: list[list[bool]] = []
    for letter in WORD:
        rows = _LETTERS[letter]
        width = max(row.bit_length() for row in rows)
        columns += [[bool(row >> bit & 1) for row in rows] for bit in reversed(range(width))]
        columns.append([False] * _HEIGHT)
    bitmap = np.kron(np.array(columns[:-1]).T, np.ones((step, step), dtype=bool))
    return np.rot90(bitmap) if upwards else bitmap
