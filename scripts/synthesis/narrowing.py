# SPDX-License-Identifier: Apache-2.0
"""Which candidate series of a study are wanted: those of some planes, or with some text in their description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.errors import UsageError
from scripts.synthesis.gates import PLANES

if TYPE_CHECKING:
    from scripts.dicom.index import Stack


@dataclass(frozen=True)
class Narrowing:
    """What a candidate must be beside a candidate; by default nothing.

    Args:
        planes: any of `PLANES`; empty for all.
        match: text that SeriesDescription holds; capitals and the number of blanks do not matter, and no character has
            a meaning of its own.

    Raises:
        UsageError: an unknown plane.
    """

    planes: tuple[str, ...] = ()
    match: str = ""

    def __post_init__(self) -> None:
        unknown = [plane for plane in self.planes if plane not in PLANES]
        if unknown:
            raise UsageError(f"--plane {','.join(unknown)}: unknown; need some of {', '.join(PLANES)}; correct it")

    def __bool__(self) -> bool:
        return bool(self.planes or self.match)

    def objection(self, stack: Stack) -> str:
        """Why a stack is not wanted; empty if it is."""
        if self.planes and stack.plane not in self.planes:
            return f"its plane is {stack.plane}, not in --plane {','.join(self.planes)}"
        if _plain(self.match) not in _plain(stack.description):
            return "its description does not hold the text of --match"
        return ""


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
