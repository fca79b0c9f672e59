# SPDX-License-Identifier: Apache-2.0
"""What the model was made for: the properties of a sound stack or volume that keep it from being a source.

These refusals protect from convincing nonsense, not from damage; a person who knows better may lift them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scripts.errors import GateError
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
    if stack.metal:
        problems.append(f"its description names metal ({stack.metal})")
    return problems + size_problems(stack.slices, stack.spacing_mm)


def lifted(what: str, problem: str, needed: str, force: bool) -> str:
    """The note that a refusal was lifted, or the refusal.

    Args:
        what: is refused, as "stack 1.1".
        problem: why.
        needed: what is needed in its place.
        force: whether it is lifted.

    Raises:
        GateError: it is not.
    """
    if not force:
        raise GateError(f"{what}: {problem}; need {needed}; --force takes it all the same")
    return f"Forced although {problem}: the model was not made for this."


def admit(what: str, quality: Mapping[str, Any], force: bool) -> tuple[str, ...]:
    """What is to be said of a preprocessed volume by its pixels, if it may be a source at all.

    Every way to a synthesis asks here, after preprocessing and before the network.

    Args:
        what: is to be synthesised, as "stack 1.1".
        quality: what `scripts.transforms.quality.quality_of` tells of the volume.
        force: lift refusals.

    Returns:
        Warnings, lifted refusals first, one sentence each.

    Raises:
        GateError: it may not, and nothing is lifted.
    """
    return (*(lifted(what, problem, needed, force) for problem, needed in quality["refusals"]), *quality["warnings"])
