# SPDX-License-Identifier: Apache-2.0
"""Which series may be partners by their headers, and which refusal it is where none can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.pairing.candidates import PD, PDFS, Candidate, Exam

REASONS = (
    "no_partner", "ambiguous_partner", "other_patient", "other_plane", "other_body_part", "geometry", "unreadable",
    "low_similarity", "residual_shift", "too_few_slices", "wrong_contrast", "outlier",
)  # fmt: skip
"""Every code that a refusal has."""

# EXTREMITY, LEG or JOINT may be a knee; only a part that names something else is a reason to refuse.
_KNEE_LIKE = (
    "KNEE",
    "KNIE",
    "GENOU",
    "RODILLA",
    "GINOCCHIO",
    "PATELLA",
    "EXTREM",
    "LEG",
    "LIMB",
    "JOINT",
    "MSK",
    "LOWER",
)


@dataclass(frozen=True)
class Refusal:
    """Something that makes no pair.

    Args:
        reason: one of `REASONS`.
        words: why, in a sentence without any name.
        image: PD, where there is one.
        label: PDFS, where there is one.
    """

    reason: str
    words: str
    image: Candidate | None = None
    label: Candidate | None = None


@dataclass(frozen=True)
class Proposal:
    """A PD series and the PDFS series that may be its partner; images decide between several.

    Args:
        image: PD.
        labels: which may be its partner.
        undecided: nothing says which of the two, image or only label, is fat-suppressed, if any; images tell.
    """

    image: Candidate
    labels: tuple[Candidate, ...]
    undecided: bool = False


def propose(exam: Exam) -> tuple[list[Proposal], list[Refusal]]:
    """Sort the series of an exam into possible pairs and refusals."""
    images = [c for c in exam.candidates if c.contrast == PD]
    labels = [c for c in exam.candidates if c.contrast == PDFS]
    if exam.listed:
        return [Proposal(image, (label,)) for image, label in zip(images, labels, strict=True)], []
    home = exam.candidates[0].study if exam.candidates else ""
    images = [image for image in images if image.study == home]
    proposals, refusals, named = [], [], set()
    for image in images:
        if image.files in named:
            continue
        fault = _fault(image)
        if fault is not None:
            others = [one for one in labels if one.plane == image.plane and _fault(one) is not None]
            refusals.append(Refusal(*fault, image, others[0] if others else None))
            named |= {one.files for one in others}
            continue
        fitting = [label for label in labels if _objection(image, label) is None]
        if fitting:
            proposals.append(Proposal(image, _preferred(image, fitting)))
            named |= {label.files for label in fitting}
            continue
        twin = next((o for o in images if o.fat_open and o.files not in named and _may_be_twin(image, o)), None)
        if twin is not None:
            proposals.append(Proposal(image, (twin,), undecided=True))
            named |= {image.files, twin.files}
            continue
        refusal = _without_partner(image, labels)
        refusals.append(refusal)
        if refusal.label is not None:
            named.add(refusal.label.files)
    for label in labels:
        if label.files not in named and label.study == home:
            fault = _fault(label) or ("no_partner", "a fat-suppressed series without a PD of its plane")
            refusals.append(Refusal(*fault, None, label))
    return proposals, refusals


def is_knee(part: str) -> bool:
    """Whether a body part may be a knee; an empty one may."""
    return not part or any(word in part.upper() for word in _KNEE_LIKE)


def _fault(one: Candidate) -> tuple[str, str] | None:
    """What is wrong with a series itself."""
    if not is_knee(one.body_part):
        return "other_body_part", f"the header says {one.body_part.lower()}, not knee"
    return one.problem


def _objection(image: Candidate, label: Candidate) -> tuple[str, str] | None:
    """Why a PDFS series cannot be the partner of a PD series, by headers."""
    if label.plane != image.plane:
        return "other_plane", f"the fat-suppressed series is {label.plane or 'of another plane'}, PD {image.plane}"
    if image.study and label.study and image.study != label.study:
        return "other_patient", "the fat-suppressed series that lies here belongs to another study"
    if image.person and label.person and image.person != label.person:
        return "other_patient", "the two series carry different patient IDs"
    if image.side and label.side and image.side != label.side:
        return "other_patient", "one series is of the left knee, the other of the right"
    return _fault(label)


def _may_be_twin(image: Candidate, other: Candidate) -> bool:
    """Whether a second PD of the exam may be the fat-suppressed one, by all that headers say."""
    return other.files != image.files and _objection(image, other) is None


def _without_partner(image: Candidate, labels: Sequence[Candidate]) -> Refusal:
    """The most telling reason: a partner that is spoilt, then one that is not this knee's, then none."""
    found = [(label, _objection(image, label)) for label in labels]
    for wanted in ("unreadable", "geometry", "other_body_part", "other_patient", "other_plane"):
        for label, objection in found:
            if objection is not None and objection[0] == wanted:
                return Refusal(*objection, image, label)
    return Refusal("no_partner", "PD without a fat-suppressed series of its plane", image)


def _preferred(image: Candidate, labels: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those of PD's own frame of reference and grid, where any are; repeated scans of one grid stay together."""
    for same in (
        [one for one in labels if one.frame and one.frame == image.frame and one.grid == image.grid],
        [one for one in labels if one.frame and one.frame == image.frame],
    ):
        if same:
            return tuple(same)
    return tuple(labels)
