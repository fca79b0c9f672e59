# SPDX-License-Identifier: Apache-2.0
"""What the model was made for: the properties of a sound stack that keep it from being a source.

These refusals protect from convincing nonsense, not from damage; a person who knows better may lift them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.dicom.index import Stack

PLANES = ("sagittal", "coronal", "axial")

# Clinical knee protocols have 18 to 40 slices; below ten it is a scout or a torn-off piece.
MIN_SLICES = 10

# Pixels of 0.3 to 0.6 mm and slices of 2 to 4 mm are what the model learns from; the margins allow for zero filling,
# quick protocols and gaps.
PIXEL_MM = (0.15, 1.0)
SLICE_MM = (1.0, 6.0)

# BodyPartExamined is often empty or generic; only a part that names something else is a reason to refuse.
_BODY_PARTS = ("KNEE", "KNIE", "GENOU", "RODILLA", "GINOCCHIO", "PATELLA", "EXTREM", "LEG", "LIMB", "JOINT", "MSK")


def gate_problems(stack: Stack) -> list[str]:
    """Why the model was not made for a stack, its contrast apart; empty if it was.

    Args:
        stack: a usable stack.
    """
    problems = []
    if stack.localizer:
        problems.append("it is a localiser")
    if stack.derived:
        problems.append("it is a derived image")
    if stack.plane not in PLANES:
        problems.append(f"its plane is {stack.plane}")
    if stack.body_part and not any(part in stack.body_part.upper() for part in _BODY_PARTS):
        problems.append("its body part is not a knee")
    if stack.slices < MIN_SLICES:
        problems.append(f"it has {stack.slices} slices, fewer than {MIN_SLICES}")
    if stack.spacing_mm is not None:
        between, row, column = stack.spacing_mm
        if not (_within(row, PIXEL_MM) and _within(column, PIXEL_MM)):
            problems.append(f"its pixels are {row:.2f} x {column:.2f} mm, outside {PIXEL_MM[0]} to {PIXEL_MM[1]} mm")
        if not _within(between, SLICE_MM):
            problems.append(f"its slices are {between:.2f} mm apart, outside {SLICE_MM[0]} to {SLICE_MM[1]} mm")
    return problems


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
