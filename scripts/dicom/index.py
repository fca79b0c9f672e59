# SPDX-License-Identifier: Apache-2.0
"""From folders and files to geometric stacks: what lies there, and which of it can be used.

A series is not yet a volume: one SeriesInstanceUID may hold several echoes, magnitude and phase, three scout planes.
Headers are read, pixels are not. Nothing is decided about which stack to use; one that contradicts itself says so.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.dicom import identity
from scripts.dicom.contrast import OTHER, UNKNOWN, classify
from scripts.dicom.geometry import examine, plane_of
from scripts.dicom.grouping import contradictions, group_headers
from scripts.dicom.headers import Header, read_header
from scripts.dicom.pixels import MAX_BYTES
from scripts.errors import DecodeError, GateError, GeometryError, UsageError

logger = logging.getLogger(__name__)

MIN_SLICES = 5
"""Fewer slices are a localiser, whatever ImageType says."""


@dataclass(frozen=True)
class Stack:
    """One geometric stack of slices and what its headers say. Lengths in mm, times in seconds.

    Attributes:
        id: "series.stack", counted from 1 over all that was indexed; it does not depend on file names.
        spacing_mm: distance between slices, between rows, between columns; None where unknown.
        shape: (rows, columns).
        contrast: "PD", "PDFS", "other" or "unknown", with ``evidence`` for it.
        usable: whether the stack can be read as one volume; else ``reason`` says why not and ``refusal_code`` is the
            exit code of that reason.
        files: in spatial order along the slice normal; identical copies are left out.
        derived: ImageType says DERIVED.
        synthetic: SyntheticData is YES in any file.
        simulated: a simulated study of this project: synthetic, but ORIGINAL, with its patient ID and manufacturer.
        localizer: marked so, or fewer than five slices.
        echo_number: tells the echoes of one acquisition apart; they share ``series_instance_uid``.
    """

    id: str
    series_instance_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str
    modality: str
    description: str
    body_part: str
    plane: str
    slices: int
    shape: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None
    echo_time: float | None
    repetition_time: float | None
    echo_number: int | None
    contrast: str
    evidence: tuple[str, ...]
    usable: bool
    reason: str
    refusal_code: int
    files: tuple[Path, ...]
    derived: bool
    synthetic: bool
    simulated: bool
    localizer: bool

    def as_dict(self) -> dict[str, Any]:
        """Give the entry of ``kneesynth inspect --json``: plain JSON values, times in ms, no file names."""
        return {
            "id": self.id,
            "series_instance_uid": self.series_instance_uid,
            "description": self.description,
            "modality": self.modality,
            "plane": self.plane,
            "slices": self.slices,
            "shape": list(self.shape),
            "spacing_mm": None if self.spacing_mm is None else [round(value, 4) for value in self.spacing_mm],
            "echo_time_ms": _milliseconds(self.echo_time),
            "repetition_time_ms": _milliseconds(self.repetition_time),
            "contrast": self.contrast,
            "evidence": list(self.evidence),
            "usable": self.usable,
            "reason": self.reason,
            "refusal_code": self.refusal_code,
            "derived": self.derived,
            "synthetic": self.synthetic,
            "simulated": self.simulated,
            "localizer": self.localizer,
            "body_part": self.body_part,
        }


@dataclass(frozen=True)
class Index:
    """What was found: the stacks, how many files were looked at, and how many of them were no DICOM images."""

    stacks: tuple[Stack, ...]
    files: int
    skipped: int


def index_series(paths: Sequence[Path]) -> list[Stack]:
    """List the geometric stacks below some paths; see `index`."""
    return list(index(paths).stacks)


def index(paths: Sequence[Path]) -> Index:
    """Read all headers below some paths and sort them into stacks.

    Args:
        paths: folders (searched to any depth) and files. What is no DICOM object is skipped and counted.

    Returns:
        Stacks in the order of series number, echo time and place.

    Raises:
        UsageError: a path does not exist.
    """
    files = list(_files(paths))
    headers = [header for header in map(read_header, files) if header is not None]
    broken = [header for header in headers if not header.series_instance_uid]
    stacks: list[Stack] = []
    claimed: set[Path] = set()
    ordinal = 0
    for ordinal, groups in enumerate(group_headers(h for h in headers if h.series_instance_uid), start=1):
        blemishes = contradictions(groups)
        damaged = sum(bool(h.problem) for group in groups for h in group)
        folders = {h.path.parent for group in groups for h in group}
        claimed |= folders
        lost = sum(h.path.parent in folders for h in broken)
        for number, group in enumerate(groups, start=1):
            stacks.append(_stack(f"{ordinal}.{number}", group, blemishes[number - 1], damaged, lost))
    orphans = [h for h in broken if h.path.parent not in claimed]
    if orphans:
        stacks.append(_stack(f"{ordinal + 1}.1", orphans, "", len(orphans), 0))
    skipped = len(files) - len(headers)
    logger.info("%d files: %d stacks, %d files are no DICOM images", len(files), len(stacks), skipped)
    return Index(tuple(stacks), len(files), skipped)


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    seen: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise UsageError(f"{path} does not exist; give a folder or files that do")
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _stack(stack_id: str, group: list[Header], blemish: str, damaged: int, lost: int) -> Stack:
    """Build one entry. ``damaged`` and ``lost`` count damaged files of the series and beside it."""
    first = group[0]
    ordered, spacing, problem = _arrange(group)
    reason, code = _refusal(group, blemish or problem, damaged, lost)
    contrast, evidence = classify(first.facts) if first.modality == "MR" else (UNKNOWN, ())
    kinds = {kind.upper() for header in group for kind in header.facts.image_type}
    synthetic = any(header.synthetic for header in group)
    original = all(header.facts.image_type[:1] == ("ORIGINAL",) for header in group)
    localizer = "LOCALIZER" in kinds or sum(header.frames for header in ordered) < MIN_SLICES
    if localizer and contrast == UNKNOWN:
        contrast, evidence = OTHER, (*evidence, "a localiser")
    return Stack(
        id=stack_id,
        series_instance_uid=first.series_instance_uid,
        study_instance_uid=first.study_instance_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        modality=first.modality,
        description=first.series_description,
        body_part=first.body_part,
        plane=plane_of(first.orientation) if first.orientation else "unknown",
        slices=sum(header.frames for header in ordered),
        shape=(first.rows, first.columns),
        spacing_mm=(spacing, *first.pixel_spacing) if spacing and first.pixel_spacing else None,  # type: ignore[arg-type]
        echo_time=first.facts.echo_time,
        repetition_time=first.facts.repetition_time,
        echo_number=first.echo_number,
        contrast=contrast,
        evidence=evidence,
        usable=not reason,
        reason=reason,
        refusal_code=code,
        files=tuple(header.path for header in ordered),
        derived="DERIVED" in {header.facts.image_type[0].upper() for header in group if header.facts.image_type},
        synthetic=synthetic,
        simulated=synthetic and original and all(h.patient_simulated and h.ours for h in group),
        localizer=localizer,
    )


def _arrange(group: list[Header]) -> tuple[list[Header], float, str]:
    """Sort a group by place, leave out identical copies, and say what is wrong with its geometry."""
    group, problem = _without_copies(group)
    first = group[0]
    if first.enhanced:
        return group, 0.0, ""
    if any(h.position is None or h.orientation is None for h in group):
        return group, 0.0, "slices have no ImagePositionPatient or ImageOrientationPatient; a volume needs both"
    if first.pixel_spacing is None or min(first.pixel_spacing) <= 0:
        return group, 0.0, "PixelSpacing is missing; a volume needs it"
    geometry = examine(np.array([h.position for h in group]), first.orientation or ())
    spacing = geometry.spacing or first.slice_thickness or 0.0
    return [group[i] for i in geometry.order], spacing, problem or geometry.problem


def _without_copies(group: list[Header]) -> tuple[list[Header], str]:
    """Keep one of several files with one SOPInstanceUID if they hold the same object."""
    kept: dict[str, Header] = {}
    clash = ""
    result = []
    for header in group:
        other = kept.setdefault(header.sop_instance_uid, header) if header.sop_instance_uid else header
        if other is header:
            result.append(header)
        elif not _same_object(header.path, other.path):
            clash = "duplicate place: two files share one SOPInstanceUID and differ"
            result.append(header)
    return result, clash


def _same_object(one: Path, other: Path) -> bool:
    if one.read_bytes() == other.read_bytes():
        return True
    import pydicom

    from scripts.dicom.values import quiet

    with quiet():
        try:  # the same object may have been stored twice with another preamble or meta group
            return bool(pydicom.dcmread(one, force=True) == pydicom.dcmread(other, force=True))
        except Exception:  # a damaged twin is not a copy
            return False


def _refusal(group: list[Header], geometry: str, damaged: int, lost: int) -> tuple[str, int]:
    """Give the reason why a group is no usable stack, with its exit code; ("", 0) if it is one."""
    first = group[0]
    if first.modality and first.modality != "MR":
        return f"not MR ({first.modality})", GateError.exit_code
    if first.sop_class_uid and not first.enhanced and first.sop_class_uid != identity.MR_IMAGE_STORAGE:
        return "not MR images (another SOP class)", GateError.exit_code
    problems = Counter(header.problem for header in group if header.problem)
    if problems:
        problem, count = problems.most_common(1)[0]
        return f"cannot be decoded: {problem} ({count} of {len(group)} files)", DecodeError.exit_code
    if damaged:
        return f"cannot be decoded: {damaged} files of the series are damaged", DecodeError.exit_code
    if lost:
        return f"cannot be decoded: {lost} damaged files beside it may belong to it", DecodeError.exit_code
    if first.enhanced:
        return "Enhanced multi-frame MR is not read yet; convert it to classic MR images", DecodeError.exit_code
    if any(header.frames != 1 for header in group):
        return "a multi-frame file; convert it to classic MR images", DecodeError.exit_code
    if "MOSAIC" in first.facts.image_type:
        return "a mosaic of slices, not an MR image of one slice", GateError.exit_code
    if first.samples != 1 or first.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return "not a grey-scale MR image", GateError.exit_code
    if sum(header.decoded_bytes for header in group) > MAX_BYTES:
        return "cannot be decoded: the stack claims more than 2 GiB of pixels", DecodeError.exit_code
    return (geometry, GeometryError.exit_code) if geometry else ("", 0)


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else round(1000 * value, 4)
