# SPDX-License-Identifier: Apache-2.0
"""Where the slices of a study lie: plane, size, spacing, obliquity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.ranges import Ranges

PLANES = ("sagittal", "coronal", "axial")
# Directions of columns, rows (as displayed, downwards) and slices in LPS.
_AXES: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "sagittal": ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "axial": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}


@dataclass(frozen=True)
class Stack:
    """One stack of parallel slices.

    Args:
        plane: sagittal, coronal or axial.
        shape: slices, rows and columns.
        spacing: between slices, rows and columns [mm]; the first includes the gap.
        thickness: of a slice [mm].
        obliquity: turn of the slice normal towards rows and towards columns, as tangents.
        centre: of the stack, LPS [mm]; the knee's own displacement is counted from the same origin.
    """

    plane: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    thickness: float
    obliquity: tuple[float, float] = (0.0, 0.0)
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.plane not in PLANES:
            raise ValueError(f"Plane {self.plane!r} is unknown; choose one of {', '.join(PLANES)}.")
        if len(self.shape) != 3 or min(self.shape) < 1 or min(self.shape[1:]) < 16:
            raise ValueError(f"Shape {self.shape} cannot be scanned; need (slices >= 1, rows >= 16, columns >= 16).")
        if len(self.spacing) != 3 or min(*self.spacing, self.thickness) <= 0:
            raise ValueError(
                f"Spacing {self.spacing} mm with slices of {self.thickness:g} mm cannot be; need sizes above zero."
            )

    @property
    def affine_lps(self) -> Tensor:
        """Index (slice, row, column, 1) to position [mm], float64 ``(4, 4)``."""
        columns, rows, slices = (torch.tensor(axis, dtype=torch.float64) for axis in _AXES[self.plane])
        slices = slices + self.obliquity[0] * rows + self.obliquity[1] * columns
        slices = slices / slices.norm()
        columns = columns - (columns @ slices) * slices
        columns = columns / columns.norm()
        rows = torch.linalg.cross(slices, columns)
        affine = torch.eye(4, dtype=torch.float64)
        affine[:3, :3] = torch.stack((slices, rows, columns), dim=1) * torch.tensor(self.spacing, dtype=torch.float64)
        middle = torch.tensor([(size - 1) / 2 for size in self.shape], dtype=torch.float64)
        affine[:3, 3] = torch.tensor(self.centre, dtype=torch.float64) - affine[:3, :3] @ middle
        return affine


def draw_stack(ranges: Ranges, shape: tuple[int, int, int], plane: str | None = None) -> Stack:
    """Draw a stack.

    Args:
        ranges: section ``geometry``.
        shape: slices, rows and columns.
        plane: drawn if None.

    Raises:
        ValueError: for an unknown plane or a shape that no scan can have.
    """
    drawn = ranges.choose("plane")
    in_plane = ranges.value("field_of_view") / max(1, *shape[1:])
    thickness = ranges.value("thickness")
    between = thickness * (1 + ranges.value("gap"))
    first, second = (ranges.value("obliquity") for _ in range(2))
    centre = (ranges.value("offset"), ranges.value("offset"), ranges.value("offset"))
    return Stack(plane or drawn, shape, (between, in_plane, in_plane), thickness, (first, second), centre)
