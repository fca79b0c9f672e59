# SPDX-License-Identifier: Apache-2.0
"""What became of each stack of an input, so that nothing of a study is passed over in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.synthesis.selection import OPPOSITE, Lift, Selection

if TYPE_CHECKING:
    from scripts.dicom.index import Stack

MADE, SKIPPED, NO_CANDIDATE = "made", "skipped", "not a candidate"

_TELLING = 4
"""Characters of a file name that may tell who somebody is; shorter ones would be found in any number."""


@dataclass(frozen=True)
class Verdict:
    """One stack of the input, without identifiers and without its description.

    Args:
        stack: its id, as ``kneesynth inspect`` gives it.
        contrast: of the stack.
        plane: of the stack.
        slices: their number.
        verdict: ``made``, ``skipped`` (could be a source, but is none here) or ``not a candidate``.
        reason: why; names no file, since files are named after series and sometimes after people.
    """

    stack: str
    contrast: str
    plane: str
    slices: int
    verdict: str
    reason: str

    def skipped(self, reason: str) -> Verdict:
        """The same stack, left out."""
        return replace(self, verdict=SKIPPED, reason=reason)


def judge(stacks: Sequence[Stack], selection: Selection, lift: Lift) -> tuple[Verdict, ...]:
    """Give the verdict on every stack that was found.

    Args:
        stacks: everything that was found.
        selection: what `choose` made of them; holds at least one choice.
        lift: what `choose` was given.
    """
    made = {choice.stack.id: choice.reason for choice in selection.choices}
    skipped = dict(selection.skipped)
    source = OPPOSITE[selection.choices[0].target]
    found = []
    files = [file for stack in stacks for file in stack.files]
    for stack in stacks:
        if stack.id in made:
            verdict, reason = MADE, made[stack.id]
        elif stack.id in skipped:
            verdict, reason = SKIPPED, skipped[stack.id]
        elif lift.candidate(stack, source):
            verdict, reason = SKIPPED, "another series was named"
        else:
            verdict, reason = NO_CANDIDATE, _why_not(stack, source, lift)
        reason = without_file_names(reason, files)
        found.append(Verdict(stack.id, stack.contrast, stack.plane, stack.slices, verdict, reason))
    return tuple(found)


def without_file_names(text: str, files: Iterable[Path]) -> str:
    """A message with the names of some files, or of the files that frames lie in, taken out."""
    from scripts.dicom.files import split_address

    names = {split_address(path)[0].name for path in files}
    for name in sorted((n for n in names if len(n) >= _TELLING), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(file)", text)
    return text


def _why_not(stack: Stack, source: str, lift: Lift) -> str:
    if not stack.usable:
        return stack.reason
    if stack.localizer:
        return "it is a localiser"
    if stack.synthetic and not (stack.simulated and lift.simulated):
        return "it is simulated" if stack.simulated else "it is already synthetic"
    if stack.contrast != source:
        return f"its contrast is {stack.contrast}, not {source}"
    return "it is a derived image"
