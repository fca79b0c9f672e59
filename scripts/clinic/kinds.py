# SPDX-License-Identifier: Apache-2.0
"""How a study of each kind is made: its series, and what is true of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from scripts.clinic.exam import Exam, Series, draw_exam, other_knee
from scripts.clinic.places import label_to_image, motion_of, moved, with_grid
from scripts.clinic.plan import Case
from scripts.clinic.truth import TruePair, TrueRefusal
from scripts.dicom.identity import uid_from
from scripts.simulation.stack import Stack

FOREIGN = ("other_patient", "low_similarity", "outlier")
"""Right reasons to refuse the PDFS of another knee."""
NO_PARTNER = ("no_partner",)
_OTHER_KNEE_MM = 190.0
"""From one knee to the other in a scanner, side by side."""
_PLANES = {"sagittal": "coronal", "coronal": "sagittal", "axial": "sagittal"}

# Description of PD and of PDFS, whether ScanOptions tell the suppression, and whether there are descriptions at all.
_DESCRIPTIONS: tuple[tuple[str | None, str | None, bool], ...] = (
    ("T2 TSE sag", "PD TSE", True),  # wrong; the timing is right, and ScanOptions of PDFS
    (None, None, True),  # missing
    ("DP sag", "DP FS sag sat. graisse", True),
    ("Serie 4", "Serie 5", False),  # only pixels tell
    ("Protonengewichtet sag", "PD sag fettgesättigt", True),
    ("PD_TSE_TRA", "pd_tse_spair_tra", False),
)


@dataclass
class Made:
    """What a study consists of.

    Args:
        series: as they are written, in this order: folders 01, 02, ...
        labels: structures on PD (or on what stands in for it), uint8 ``(D, H, W)``.
        pairs: true ones, by numbers of series.
        refusals: what has to be refused, by numbers of series.
        cut_off: number of the series of which a file is damaged.
    """

    series: list[Series]
    labels: Tensor
    pairs: list[TruePair] = field(default_factory=list)
    refusals: list[TrueRefusal] = field(default_factory=list)
    cut_off: int | None = None


def make(case: Case, shape: tuple[int, int, int]) -> Made:
    """Simulate the study of a case."""
    return _MAKERS.get(case.kind, _true_pair)(case, shape)


def patient_of(case: Case) -> dict[str, Any]:
    """PatientID and PatientName as this study writes them."""
    number = case.person
    spelt_anew = case.kind == "two_spellings" and case.exam == 1
    return {
        "PatientID": f"SIMULATED-{number:05d}" if spelt_anew else f"SIMULATED-{number}",
        "PatientName": f"Simulated, Knee {number}" if spelt_anew else f"SIMULATED^KNEE {number}",
    }


def folder(number: int) -> str:
    """Name of a series' folder by its number in `Made.series`, from 0."""
    return f"{number + 1:02d}"


def _exam(case: Case, shape: tuple[int, int, int]) -> Exam:
    drawn = draw_exam(case.seed, shape)
    if case.exam:  # another day: the knee is the same, the scan is not
        knee = draw_exam(case.person_seed, shape)
        drawn = replace(drawn, anatomy=knee.anatomy, lesions=knee.lesions)
    return Exam(drawn)


def _true_pair(case: Case, shape: tuple[int, int, int]) -> Made:
    exam, kind = _exam(case, shape), case.kind
    grid: Stack = exam.stack
    if kind == "other_grid":
        matrix, field_of_view = ((1.25, 1.0), (0.8, 1.0), (1.0, 1.15), (0.8, 0.9))[case.variant % 4]
        grid = with_grid(grid, matrix, field_of_view)
    elif kind == "other_count":
        grid = with_grid(grid, slices=(-3, 4, -2, 2)[case.variant % 4])
    motion = motion_of(exam.stack, case.moved)
    if kind == "planned_elsewhere":
        place: Stack = moved(grid, motion)
        header_lps = place.affine_lps.numpy()
    else:  # the knee moved one way, so the stack moved the other way in the knee
        place, header_lps = moved(grid, np.linalg.inv(motion)), grid.affine_lps.numpy()
    still = np.allclose(motion, np.eye(4)) and grid is exam.stack
    place = exam.stack if still else place  # one map of the tissue serves both
    header = {"FrameOfReferenceUID": uid_from("new frame", str(case.seed))} if kind == "new_frame" else {}
    names, told = _descriptions(case)
    image = exam.series("PD", says_suppressed=False, **names[0])
    label = exam.series(
        "PDFS",
        place,
        header_lps=header_lps,
        says_suppressed=told,
        reverse=kind == "reversed",
        **{**names[1], "header": {**names[1].get("header", {}), **header}},
    )
    made = Made([exam.scout(), image, label], exam.labels(exam.stack))
    truth = label_to_image(header_lps, place.affine_lps.numpy())
    made.pairs.append(TruePair(folder(1), folder(2), truth.tolist(), exam.fat_displacement()))
    return _with_more(made, exam, case)


def _descriptions(case: Case) -> tuple[tuple[dict[str, Any], dict[str, Any]], bool]:
    """How PD and PDFS are described, and whether ScanOptions tell the suppression."""
    if case.kind != "descriptions":
        return ({}, {}), True
    image, label, told = _DESCRIPTIONS[case.variant % len(_DESCRIPTIONS)]
    missing: dict[str, Any] = {"header": {"SeriesDescription": None}}
    named = tuple(missing if text is None else {"description": text} for text in (image, label))
    return (named[0], named[1]), told


def _with_more(made: Made, exam: Exam, case: Case) -> Made:
    """Some exams hold more: a T2 of the same slices, a PD of another plane that has no partner."""
    if case.number % 4 == 0:
        made.series.append(exam.series("T2"))
    if case.number % 6 == 0:
        slices, *size = exam.stack.shape
        plane, half = _PLANES[exam.stack.plane], max(5, slices // 2)
        spacing = (exam.stack.spacing[0] * slices / half, *exam.stack.spacing[1:])
        stack = Stack(plane, (half, size[0], size[1]), spacing, exam.stack.thickness, centre=exam.stack.centre)
        made.series.append(exam.series("PD", stack, sub_slices=1))
        alone = TrueRefusal((folder(len(made.series) - 1),), ("no_partner", "other_plane"))
        made.refusals.append(alone)
    return made


def _alone(case: Case, shape: tuple[int, int, int]) -> Made:
    exam = _exam(case, shape)
    roles = {"pd_only": ["PD"], "pdfs_only": ["PDFS"], "pd_and_t2": ["PD", "T2"]}[case.kind]
    made = Made([exam.scout(), *(exam.series(role) for role in roles)], exam.labels(exam.stack))
    made.refusals.append(TrueRefusal((folder(1),), NO_PARTNER))
    return made


def _foreign(case: Case, shape: tuple[int, int, int]) -> Made:
    exam = _exam(case, shape)
    drawn = draw_exam(case.foreign_seed, shape, exam.stack.plane, exam.parameters.field_strength)
    if drawn.side != exam.parameters.side:
        drawn = other_knee(drawn)
    if case.kind == "foreign_same_frame":
        other = Exam(replace(drawn, stack=exam.stack)).series("PDFS")
    else:
        frame = {"FrameOfReferenceUID": uid_from("foreign frame", str(case.seed))}
        other = Exam(drawn).series("PDFS", header=frame)
    # A knee of its own frame was planned by itself: tilted, its slices are refused before the images are looked at.
    return _false(exam, other, FOREIGN if case.kind == "foreign_same_frame" else (*FOREIGN, "geometry"))


def _other_plane(case: Case, shape: tuple[int, int, int]) -> Made:
    exam = _exam(case, shape)
    stack = replace(exam.stack, plane=_PLANES[exam.stack.plane], obliquity=(0.0, 0.0))
    return _false(exam, exam.series("PDFS", stack), ("other_plane", "no_partner"))


def _other_side(case: Case, shape: tuple[int, int, int]) -> Made:
    """Both knees in one scanner, each at its place; or, every second time, told by nothing in the header."""
    exam = _exam(case, shape)
    other = Exam(other_knee(exam.parameters))
    if case.variant % 2:
        return _false(exam, other.series("PDFS", laterality=exam.parameters.side), FOREIGN)
    beside = np.eye(4)
    beside[0, 3] = _OTHER_KNEE_MM if other.parameters.side == "L" else -_OTHER_KNEE_MM
    header_lps = beside @ exam.stack.affine_lps.numpy()
    told = other.series("PDFS", header_lps=header_lps)
    return _false(exam, told, (*FOREIGN, "no_partner", "geometry", "too_few_slices"))


def _wrong_contrast(case: Case, shape: tuple[int, int, int]) -> Made:
    """A T2, with or without its echo time in the header, or a second PD: named as PDFS, without its suppression."""
    exam = _exam(case, shape)
    role = "T2" if case.kind == "t2_as_pdfs" else "PD"
    silent = {"EchoTime": "", "RepetitionTime": ""} if role == "T2" and case.variant % 2 else {}
    label = exam.series(role, description=exam.description("PDFS"), says_suppressed=True, header=silent)
    told = role == "T2" and not silent
    return _false(exam, label, ("wrong_contrast", *(NO_PARTNER if told else ())))


def _false(exam: Exam, label: Series, reasons: tuple[str, ...]) -> Made:
    made = Made([exam.scout(), exam.series("PD"), label], exam.labels(exam.stack))
    made.refusals.append(TrueRefusal((folder(1), folder(2)), reasons, NO_PARTNER))
    return made


def _other_part(case: Case, shape: tuple[int, int, int]) -> Made:
    exam = Exam(draw_exam(case.seed, shape, knee=False))
    words = (
        {"BodyPartExamined": "SHOULDER", "StudyDescription": "SIMULATED shoulder, no person"},
        {"BodyPartExamined": "ANKLE", "StudyDescription": "SIMULATED ankle, no person"},
        {"BodyPartExamined": "EXTREMITY", "StudyDescription": "SIMULATED Schulter, no person"},
        {"BodyPartExamined": None, "StudyDescription": "SIMULATED MRT Sprunggelenk, no person"},
    )[case.variant % 4]
    header = {**words, "AnatomicRegionSequence": None}
    series = [exam.series(role, laterality="L", header=header) for role in ("PD", "PDFS")]
    made = Made(series, exam.labels(exam.stack))
    made.refusals.append(TrueRefusal((folder(0), folder(1)), ("other_body_part",)))
    return made


def _corrupt(case: Case, shape: tuple[int, int, int]) -> Made:
    exam = _exam(case, shape)
    made = _false(exam, exam.series("PDFS"), ("unreadable",))
    made.cut_off = 2
    return made


_MAKERS: Mapping[str, Callable[[Case, tuple[int, int, int]], Made]] = {
    "pd_only": _alone,
    "pdfs_only": _alone,
    "pd_and_t2": _alone,
    "foreign_same_frame": _foreign,
    "foreign_own_frame": _foreign,
    "other_plane": _other_plane,
    "other_side": _other_side,
    "t2_as_pdfs": _wrong_contrast,
    "pd_as_pdfs": _wrong_contrast,
    "other_part": _other_part,
    "corrupt_file": _corrupt,
}
