# SPDX-License-Identifier: Apache-2.0
"""One geometric stack of slices, and what its headers say about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stack:
    """One geometric stack of slices and what its headers say. Lengths in mm, times in seconds.

    Attributes:
        id: "series.stack", counted from 1 over all that was indexed; it does not depend on file names.
        spacing_mm: distance between slices, between rows, between columns; None where unknown.
        shape: (rows, columns).
        body_part: "KNEE" where anything says so, else what the header or the description says.
        contrast: "PD", "PDFS", "other" or "unknown".
        evidence: a sentence for each fact that decided contrast, body part and side, or that marks it as synthetic.
        usable: whether the stack can be read as one volume; else ``reason`` says why not and ``refusal_code`` is the
            exit code of that reason.
        files: one per slice in spatial order along the slice normal, identical copies left out; of an Enhanced file the
            address of each frame, see `frame_address`.
        derived: ImageType says DERIVED.
        synthetic: any file bears a sign that its image was computed, see `synthetic_sign`.
        simulated: a simulated study of this project: synthetic, but ORIGINAL, with its patient ID and manufacturer.
        localizer: marked so, or fewer than five slices.
        echo_number: tells the echoes of one acquisition apart; they share ``series_instance_uid``.
        side: "L", "R" or "" where nothing says it.
        metal: word of a description that names metal or a technique against it; empty where none does.
        lossy: the pixels went through a lossy compression.
        enhanced: frames of Enhanced files, not classic MR images.
        fat_open: the header gives no hint whether fat is suppressed, so that pixels may decide.
        notes: what a user should know although the stack is usable, one sentence each.
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
    side: str = ""
    metal: str = ""
    lossy: bool = False
    enhanced: bool = False
    fat_open: bool = False
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Give the entry of ``kneesynth inspect --json``: plain JSON values, times in ms, no paths."""
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
            "side": self.side,
            "lossy": self.lossy,
            "enhanced": self.enhanced,
            "notes": list(self.notes),
        }


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else round(1000 * value, 4)
