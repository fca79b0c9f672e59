# SPDX-License-Identifier: Apache-2.0
"""What a check finds, how grave it is, and the exit code that it ends with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.errors import DecodeError, GateError, GeometryError, KneeSynthError

FIX, WARN, NOTE = "fix", "warn", "note"


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Args:
        code: its name for machines.
        grave: ``fix``: training would fail or learn what is wrong; ``warn``: look at it; ``note``: for information.
        title: what it is, after a number: "3 pairs ...".
        todo: what to do.
        error: the refusal whose exit code it has.
        fails: whether training would end with an error, so that it is refused beforehand.
    """

    code: str
    grave: str
    title: str
    todo: str
    error: type[KneeSynthError] = GateError
    fails: bool = False


UNREADABLE = Kind("unreadable", FIX, "cannot be read", "export them again or take them out", DecodeError, True)
EMPTY = Kind("no_signal", FIX, "hold no signal", "export them again or take them out", DecodeError, True)
GRID = Kind("other_grid", FIX, "lie on two grids", "register them: kneesynth pair", GeometryError, True)
SLICES = Kind("wrong_slices", FIX, "name slices that are not there", "run kneesynth pair again", GeometryError, True)
FLIPPED = Kind("flipped", FIX, "are turned over against each other", "correct the order or axes of PDFS", GeometryError)
PLACE = Kind("other_place", FIX, "were scanned at different places and fit only when moved",
             "register them: kneesynth pair", GeometryError)  # fmt: skip
SHIFTED = Kind("shifted", FIX, "fit best when PDFS is moved", "register them: kneesynth pair", GeometryError)
SAME_FILE = Kind("same_image", FIX, "have the same image as PD and as PDFS", "put the right file in its place")
SWAPPED = Kind("swapped", FIX, "have PDFS filed as PD and PD as PDFS", "exchange the two")
UNPAIRED = Kind("not_paired", FIX, "have no more in common than images of strangers",
                "match each PDFS with the PD of its knee: kneesynth pair")  # fmt: skip
NEGATIVE = Kind("negative", FIX, "hold negative values: no magnitudes", "give the scans as acquired")
DUPLICATE = Kind("duplicate", FIX, "are the same images as others", "keep one of each")
TWO_SECTIONS = Kind("two_sections", FIX, "are in two sections", "keep each patient in one section")
SPELLINGS = Kind("two_spellings", FIX, "may be one person in two sections, written in two ways",
                 "name a person in one way, or confirm that they are two")  # fmt: skip
NO_SECTION = Kind("empty_section", FIX, "has no patients", "add patients, or name sections in a manifest", fails=True)

DOUBTFUL = Kind("contrast", WARN, "do not look like what they are filed as", "look at them")
SIDES = Kind(
    "sides", WARN, "may be knees or visits of one person in two sections", "give a person's exams one patient key"
)
ONE_PERSON = Kind("one_person", WARN, "may be one person, written in two ways", "name a person in one way")
COPIES = Kind("copies", WARN, "are the same images as others of the patient", "keep one of each")
APART = Kind("positions", WARN, "have headers that place the two apart, but fit as they are", "check the conversion")
RESIDUAL = Kind("residual_shift", WARN, "fit best when PDFS is moved, registered as they are", "look at them")
SIZE = Kind(
    "size", WARN, "are of a size that the shipped weights were not made for", "train from scratch, or leave them out"
)
RANGE = Kind("outlier", WARN, "differ from the others", "look at them")
SINGLE = Kind("no_partner", WARN, "have no usable pair", "add the other contrast, or pass over it")
REFUSED = Kind("refused", NOTE, "were refused when the manifest was made", "see its list")
NO_TEST = Kind("no_test", NOTE, "has no patients", "evaluate on others")
ALONE = Kind("alone", NOTE, "could not be compared with strangers", "check more patients together")


@dataclass(frozen=True)
class Finding:
    """Something found.

    Args:
        kind: what.
        about: pairs or patients that it concerns, by their keys.
        words: what exactly, one entry for each of ``about``, or one for all.
        noun: what they are.
    """

    kind: Kind
    about: tuple[str, ...]
    words: tuple[str, ...] = ()
    noun: str = "pairs"

    @property
    def sentence(self) -> str:
        """Number, kind and names, at most six of them."""
        named = ", ".join(self.about[:6]) + (", ..." if len(self.about) > 6 else "")
        if len(self.about) == 1:
            return f"1 {_SINGLE[self.noun]} {singular(self.kind.title)} ({named})"
        return f"{len(self.about)} {self.noun} {self.kind.title} ({named})"


_SINGLE = {"pairs": "pair", "patients": "patient", "names": "name", "sections": "section", "entries": "entry"}
_IRREGULAR = {"are": "is", "have": "has", "were": "was", "do": "does"}


def singular(title: str) -> str:
    """Say of one what is said of many: titles begin with their verb."""
    verb, _, rest = title.partition(" ")
    regular = f"{verb}s" if verb in ("lie", "hold", "name", "look", "share", "differ", "fit") else verb
    return f"{_IRREGULAR.get(verb, regular)} {rest}"


def verdict(findings: Sequence[Finding], counts: str) -> str:
    """The last line: ready, or what to fix first."""
    first = [finding for finding in ordered(findings) if finding.kind.grave == FIX]
    if not first:
        warnings = sum(finding.kind.grave == WARN for finding in findings)
        return f"ready: {counts}" + (f"; {warnings} warnings" if warnings > 1 else "; 1 warning" if warnings else "")
    parts = [f"{finding.sentence}: {finding.kind.todo}" for finding in first[:3]]
    more = f"; {len(first) - 3} more" if len(first) > 3 else ""
    return "fix first: " + "; ".join(parts) + more


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first: by what fails, then by exit code, then by how many it concerns."""
    rank = {FIX: 0, WARN: 1, NOTE: 2}
    return sorted(findings, key=lambda one: (rank[one.kind.grave], one.kind.error.exit_code, -len(one.about)))


def exit_code(findings: Iterable[Finding]) -> int:
    """0 where nothing has to be fixed; else the lowest code of what has: 4 unreadable, 5 geometry, 6 all else."""
    return min((finding.kind.error.exit_code for finding in findings if finding.kind.grave == FIX), default=0)
