# SPDX-License-Identifier: Apache-2.0
"""What the model was made for: the properties of a sound stack that keep it from being a source.

These refusals protect from convincing nonsense, not from damage; a person who knows better may lift them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.limits import size_problems

if TYPE_CHECKING:
    from scripts.dicom.index import Stack

PLANES = ("sagittal", "coronal", "axial")

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
    return problems + size_problems(stack.slices, stack.spacing_mm)
