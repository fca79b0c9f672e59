# SPDX-License-Identifier: Apache-2.0
"""Exams in a tree of DICOM files: by study, patients told apart by their IDs, which never leave this module."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.data.patients import spelling
from scripts.pairing.candidates import PD, PDFS, Candidate, Exam, Found, common_folder

if TYPE_CHECKING:
    from scripts.dicom.stack import Stack

logger = logging.getLogger(__name__)

_NOBODY = ("", "anon", "anonymous", "anonymized", "anonymised", "unknown", "none", "xxx", "id", "patient", "test")
_MOST_FOLDERS = 8
"""An ID that stands in more folders, and in half of them, is what an anonymiser wrote into all."""
_DECODE, _GEOMETRY = 4, 5
_TAGS = (
    "PatientID", "ImageOrientationPatient", "InPlanePhaseEncodingDirection", "PixelBandwidth", "MagneticFieldStrength",
)  # fmt: skip


def dicom_exams(root: Path, accept_simulated: bool, site: Path | None = None) -> Found:
    """List the exams below a folder.

    Args:
        root: the tree; each study lies in a folder of its own, or all in one.
        accept_simulated: see `find_exams`.
        site: see `find_exams`.
    """
    from scripts.dicom.files import split_address
    from scripts.dicom.index import index_series
    from scripts.dicom.site import load_site

    rules = None if site is None else load_site(site)
    stacks: list[Stack] = []
    for part in sorted(root.iterdir()):
        stacks += index_series([part], rules)
    facts = {stack.files[0]: _facts(split_address(stack.files[0])[0]) for stack in stacks if stack.files}
    stacks = [stack for stack in stacks if stack.files and stack.modality in ("MR", "")]
    return _grouped(root, stacks, facts, accept_simulated)


def _grouped(root: Path, stacks: Sequence[Stack], facts: dict[Path, _Facts], accept_simulated: bool) -> Found:
    studies: dict[str, list[Stack]] = defaultdict(list)
    for stack in stacks:
        studies[_study(stack)].append(stack)
    folders = {uid: common_folder([str(p) for s in group for p in s.files]) for uid, group in studies.items()}
    anonymous = _constants(root, stacks, facts)
    notes = ["one patient ID stands in most folders; patients are told apart by folder"] if anonymous else []
    exams: list[Exam] = []
    keys: dict[str, str] = {}
    spelt: dict[str, set[str]] = defaultdict(set)
    for uid, group in studies.items():
        ids = Counter(facts[s.files[0]].person for s in group)
        identity = ids.most_common(1)[0][0]
        top = _top(root, folders[uid])
        plain = spelling(identity)
        known = plain not in _NOBODY and plain not in anonymous
        key = keys.setdefault(f"id {plain}", top or f"patient-{_hash(plain)[:8]}") if known else top
        if known:
            spelt[plain].add(identity)
        inside = group + [s for s in stacks if s not in group and folders[uid] in folders[_study(s)].parents]
        echoes = _echoes(inside)
        candidates = tuple(_candidate(s, facts, accept_simulated, s.files[0] in echoes) for s in inside)
        name = folders[uid].relative_to(root).as_posix() if folders[uid] != root else f"study-{_hash(uid)[:8]}"
        here = _hash(uid)[:16]
        exams.append(Exam(name, key or f"patient-{_hash(plain or uid)[:8]}", _own_first(candidates, here)))
    notes += _left_out(stacks, accept_simulated)
    double = sum(len(found) > 1 for found in spelt.values())
    if double:
        notes.append(
            f"{double} of the patients have two spellings of their ID (as P001 and p-001); each is kept in one section"
        )
    return Found(_without_twice(exams), notes)


def _left_out(stacks: Sequence[Stack], accept_simulated: bool) -> list[str]:
    """What is said of synthetic series; nothing where there are none."""
    left_out = [stack for stack in stacks if not _is_taken(stack, accept_simulated)]
    simulated = sum(stack.simulated for stack in left_out)
    made = len(left_out) - simulated
    notes = [f"{made} series are marked as synthetic and left out: a network's product is no scan"] if made else []
    if simulated:
        notes.append(f"{simulated} series are simulated by this project and left out; take them: --accept-simulated")
    return notes


def _is_taken(stack: Stack, accept_simulated: bool) -> bool:
    return not stack.synthetic or (accept_simulated and stack.simulated)


def _study(stack: Stack) -> str:
    return stack.study_instance_uid or str(stack.files[0].parent)


def _own_first(candidates: tuple[Candidate, ...], study: str) -> tuple[Candidate, ...]:
    return tuple(sorted(candidates, key=lambda c: c.study != study))


def _without_twice(exams: list[Exam]) -> list[Exam]:
    """A study that lies wholly within another one's folder is named there already, as what it is."""
    kept: list[Exam] = []
    seen: set[tuple[str, ...]] = set()
    for exam in sorted(exams, key=lambda e: -len(e.candidates)):
        files = {c.files for c in exam.candidates}
        if not files <= seen:
            kept.append(exam)
            seen |= files
    return sorted(kept, key=lambda exam: exam.name)


def _top(root: Path, folder: Path) -> str:
    """The folder directly below the root, which data sets name after the patient."""
    parts = folder.relative_to(root).parts
    return parts[0] if parts else ""


def _constants(root: Path, stacks: Sequence[Stack], facts: dict[Path, _Facts]) -> set[str]:
    where = defaultdict(set)
    for stack in stacks:
        where[spelling(facts[stack.files[0]].person)].add(_top(root, stack.files[0].parent))
    every = {top for tops in where.values() for top in tops}
    return {name for name, tops in where.items() if len(tops) > max(_MOST_FOLDERS, len(every) // 2)}


def _echoes(stacks: Sequence[Stack]) -> set[Path]:
    """Stacks that are echoes of one acquisition: they differ in nothing but the echo."""
    groups: dict[tuple[str, str], list[Stack]] = defaultdict(list)
    for stack in stacks:
        groups[stack.series_instance_uid, stack.plane].append(stack)
    many = [group for group in groups.values() if len({(s.echo_number, s.echo_time) for s in group}) > 1]
    return {stack.files[0] for group in many for stack in group}


def _candidate(stack: Stack, facts: dict[Path, _Facts], accept_simulated: bool, echo: bool) -> Candidate:
    problem: tuple[str, str] | None = None
    if stack.refusal_code == _DECODE:
        problem = ("unreadable", "a file of it cannot be read")
    elif stack.refusal_code == _GEOMETRY:
        problem = ("geometry", f"its slices are no regular stack: {stack.reason}")
    elif not stack.usable:
        problem = ("unreadable", stack.reason)
    contrast = stack.contrast
    if stack.localizer or stack.derived or echo or not _is_taken(stack, accept_simulated):
        contrast = "other"
    spacing = " x ".join(f"{value:.3f}" for value in stack.spacing_mm or ())
    return Candidate(
        files=tuple(str(path) for path in stack.files),
        contrast=contrast,
        study=_hash(stack.study_instance_uid)[:16] if stack.study_instance_uid else "",
        person=_hash(spelling(facts[stack.files[0]].person))[:16] if facts[stack.files[0]].person else "",
        frame=stack.frame_of_reference_uid,
        plane=stack.plane,
        side=stack.side,
        body_part=stack.body_part,
        grid=f"{stack.slices} x {stack.shape[0]} x {stack.shape[1]}, {spacing}",
        series=stack.series_instance_uid,
        times=(stack.repetition_time, stack.echo_time),
        problem=problem,
        fat_open=stack.fat_open and contrast == PD,
        evidence="; ".join(stack.evidence[:3]) if contrast in (PD, PDFS) else "",
        readout=facts[stack.files[0]].readout,
    )


@dataclass(frozen=True)
class _Facts:
    """What pairing asks of a header beyond the index; the ID goes no farther than this module."""

    person: str = ""
    readout: tuple[tuple[float, float, float], float, float] | None = None


def _facts(path: Path) -> _Facts:
    import pydicom

    try:
        found = pydicom.dcmread(path, force=True, specific_tags=list(_TAGS), stop_before_pixels=True)
        person = str(found.get("PatientID") or "")
    except Exception:  # damaged files are told by the index
        return _Facts()
    try:
        orientation = [float(value) for value in found.ImageOrientationPatient]
        # Phase encoding along a column leaves the readout along the row.
        x, y, z = orientation[:3] if found.InPlanePhaseEncodingDirection == "COL" else orientation[3:]
        return _Facts(person, ((-x, -y, z), float(found.PixelBandwidth), float(found.MagneticFieldStrength)))
    except (AttributeError, TypeError, ValueError):
        return _Facts(person)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
