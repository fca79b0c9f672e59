# SPDX-License-Identifier: Apache-2.0
"""From folders and files to geometric stacks: what lies there, and which of it can be used.

A series is not yet a volume: one SeriesInstanceUID may hold several echoes, magnitude and phase, three scout planes.
Headers are read, pixels are not. Nothing is decided about which stack to use; one that contradicts itself says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.dicom.anatomy import body_part, metal_word, side
from scripts.dicom.contrast import OTHER, PD, UNKNOWN, classify, fat_is_open
from scripts.dicom.copies import without_copies
from scripts.dicom.fat import settle
from scripts.dicom.files import find_files
from scripts.dicom.geometry import examine, plane_of
from scripts.dicom.grouping import contradictions, group_headers
from scripts.dicom.headers import Header
from scripts.dicom.parsing import read_headers
from scripts.dicom.refusal import refusal
from scripts.dicom.site import Site
from scripts.dicom.stack import Stack

logger = logging.getLogger(__name__)

MIN_SLICES = 5
"""Fewer slices are a localiser, whatever ImageType says."""


@dataclass(frozen=True)
class Index:
    """What was found: the stacks, how many files were looked at, and how many of them were no DICOM images."""

    stacks: tuple[Stack, ...]
    files: int
    skipped: int


def index_series(paths: Sequence[Path], site: Site | None = None) -> list[Stack]:
    """List the geometric stacks below some paths, and look at pixels where headers leave the contrast open.

    Args:
        paths: see `index`.
        site: see `index`.
    """
    return [settle(stack) for stack in index(paths, site).stacks]


def index(paths: Sequence[Path], site: Site | None = None) -> Index:
    """Read all headers below some paths and sort them into stacks.

    Args:
        paths: folders (searched to any depth) and files. What is no DICOM object is skipped and counted.
        site: what a site's own series names mean.

    Returns:
        Stacks in the order of series number, echo time and place.

    Raises:
        UsageError: a path does not exist.
    """
    files = list(find_files(paths))
    images = read_headers(files)
    headers = [header for image in images for header in image]
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
            stacks.append(_stack(f"{ordinal}.{number}", group, blemishes[number - 1], damaged, lost, site))
    orphans = [h for h in broken if h.path.parent not in claimed]
    if orphans:
        stacks.append(_stack(f"{ordinal + 1}.1", orphans, "", len(orphans), 0, site))
    skipped = sum(not image for image in images)
    logger.info("%d files: %d stacks, %d files are no DICOM images", len(files), len(stacks), skipped)
    return Index(tuple(stacks), len(files), skipped)


def _stack(stack_id: str, group: list[Header], blemish: str, damaged: int, lost: int, site: Site | None) -> Stack:
    """Build one entry. ``damaged`` and ``lost`` count damaged files of the series and beside it."""
    first = group[0]
    ordered, spacing, problem = _arrange(group)
    reason, code = refusal(group, blemish or problem, damaged, lost)
    plane = plane_of(first.orientation) if first.orientation else "unknown"
    contrast, evidence = classify(first.facts) if first.modality == "MR" else (UNKNOWN, ())
    kinds = {kind.upper() for header in group for kind in header.facts.image_type}
    localizer = "LOCALIZER" in kinds or sum(header.frames for header in ordered) < MIN_SLICES
    if localizer and contrast == UNKNOWN:
        contrast, evidence = OTHER, (*evidence, "a localiser")
    notes = _notes(group, ordered)
    named = site.find(first.series_description, first.protocol) if site is not None else None
    if named is not None and first.modality == "MR":
        contrast, said, plane, warnings = named.apply(first, plane)
        evidence, notes = said or evidence, (*notes, *warnings)
    part, part_evidence = body_part(first.anatomy)
    letter, side_evidence = side(first.anatomy)
    sign = next((header.synthetic for header in group if header.synthetic), "")
    original = all(header.facts.image_type[:1] == ("ORIGINAL",) for header in group)
    ours = all(h.patient_simulated and h.ours and h.marked_synthetic for h in group)
    return Stack(
        id=stack_id,
        series_instance_uid=first.series_instance_uid,
        study_instance_uid=first.study_instance_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        modality=first.modality,
        description=first.series_description,
        body_part=part,
        plane=plane,
        slices=sum(header.frames for header in ordered),
        shape=(first.rows, first.columns),
        spacing_mm=(spacing, *first.pixel_spacing) if spacing and first.pixel_spacing else None,  # type: ignore[arg-type]
        echo_time=first.facts.echo_time,
        repetition_time=first.facts.repetition_time,
        echo_number=first.echo_number,
        contrast=contrast,
        evidence=(*evidence, *part_evidence, *side_evidence, *((sign,) if sign else ())),
        usable=not reason,
        reason=reason,
        refusal_code=code,
        files=tuple(header.address for header in ordered),
        derived="DERIVED" in {header.facts.image_type[0].upper() for header in group if header.facts.image_type},
        synthetic=bool(sign),
        simulated=original and ours,
        localizer=localizer,
        side=letter,
        metal=metal_word(first.anatomy.description),
        lossy=any(header.lossy for header in group),
        enhanced=first.enhanced,
        fat_open=contrast == PD and named is None and fat_is_open(first.facts),
        notes=notes,
    )


def _notes(group: list[Header], ordered: list[Header]) -> tuple[str, ...]:
    notes = []
    if any(header.photometric == "MONOCHROME1" for header in group):
        notes.append("MONOCHROME1: values are inverted, so that high ones are bright.")
    if lossy := next((header.lossy for header in group if header.lossy), ""):
        notes.append(f"The pixels went through a lossy compression ({lossy}).")
    if copies := len(group) - len(ordered):
        notes.append(f"{copies} identical {'copy was' if copies == 1 else 'copies were'} left out.")
    if any(header.unknown_charset for header in group):
        notes.append("Its text is in an unknown character set and is copied as it stands.")
    return tuple(notes)


def _arrange(group: list[Header]) -> tuple[list[Header], float, str]:
    """Sort a group by place, leave out identical copies, and say what is wrong with its geometry."""
    group, problem = without_copies(group)
    first = group[0]
    if any(h.position is None or h.orientation is None for h in group):
        return group, 0.0, "slices have no ImagePositionPatient or ImageOrientationPatient; a volume needs both"
    if first.pixel_spacing is None or min(first.pixel_spacing) <= 0:
        return group, 0.0, "PixelSpacing is missing; a volume needs it"
    geometry = examine(np.array([h.position for h in group]), first.orientation or ())
    spacing = geometry.spacing or first.slice_thickness or 0.0
    return [group[i] for i in geometry.order], spacing, problem or geometry.problem
