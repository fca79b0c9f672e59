# SPDX-License-Identifier: Apache-2.0
"""What a series is made of that the model was made for, in numbers: slices, pixels, distances."""

from __future__ import annotations

# Clinical knee protocols have 18 to 40 slices; below ten it is a scout or a torn-off piece.
MIN_SLICES = 10

# Pixels of 0.3 to 0.6 mm and slices of 2 to 4 mm are what the model learns from; the margins allow for zero filling,
# quick protocols and gaps.
PIXEL_MM = (0.15, 1.0)
SLICE_MM = (1.0, 6.0)


def size_problems(slices: int, spacing_mm: tuple[float, float, float] | None) -> list[str]:
    """Why the model was not made for a stack of this size; empty if it was.

    Args:
        slices: their number.
        spacing_mm: between slices, rows and columns; None if unknown.
    """
    problems = []
    if slices < MIN_SLICES:
        problems.append(f"it has {slices} slices, fewer than {MIN_SLICES}")
    if spacing_mm is not None:
        between, row, column = spacing_mm
        if not (_within(row, PIXEL_MM) and _within(column, PIXEL_MM)):
            problems.append(f"its pixels are {row:.2f} x {column:.2f} mm, outside {PIXEL_MM[0]} to {PIXEL_MM[1]} mm")
        if not _within(between, SLICE_MM):
            problems.append(f"its slices are {between:.2f} mm apart, outside {SLICE_MM[0]} to {SLICE_MM[1]} mm")
    return problems


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
