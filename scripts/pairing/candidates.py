# SPDX-License-Identifier: Apache-2.0
"""What lies in a data set, as exams: the series of one patient that may be partners of one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PD, PDFS = "PD", "PDFS"


@dataclass(frozen=True)
class Candidate:
    """One series that may be half of a pair.

    Args:
        files: a path, or the files of one DICOM stack in slice order.
        contrast: PD, PDFS, or anything else.
        study: which study it belongs to; hashed, or empty where nothing says it.
        person: which person; hashed, or empty where nothing says it.
        frame: frame of reference; empty where nothing says it.
        plane: sagittal, coronal, axial, oblique, or empty until it is loaded.
        side: L, R or empty.
        body_part: KNEE, another one, or empty.
        grid: slices, rows, columns and the three spacings as text, for a choice between several partners.
        series: of the acquisition; equal for echoes.
        times: repetition and echo time [s], where known.
        problem: why it cannot be used, with the code of the reason; empty if it can.
        fat_open: neither header nor pixels say whether the fat of this PD is suppressed.
        evidence: how the contrast is known.
        readout: unit vector of the readout (RAS), bandwidth of a pixel [Hz], field strength [T]; None where unknown.
    """

    files: tuple[str, ...]
    contrast: str
    study: str = ""
    person: str = ""
    frame: str = ""
    plane: str = ""
    side: str = ""
    body_part: str = ""
    grid: str = ""
    series: str = ""
    times: tuple[float | None, float | None] = (None, None)
    problem: tuple[str, str] | None = None
    fat_open: bool = False
    evidence: str = ""
    readout: tuple[tuple[float, float, float], float, float] | None = None

    @property
    def source(self) -> str | list[str]:
        """As a manifest names it."""
        return self.files[0] if len(self.files) == 1 else list(self.files)

    @property
    def folder(self) -> Path:
        """Deepest folder that holds all its files."""
        return Path(self.files[0]).parent


@dataclass(frozen=True)
class Exam:
    """Series of one patient that are looked at together.

    Args:
        name: of the exam in the data set, for people.
        patient: key of the patient.
        candidates: what is there.
        section: that a list asks for; empty for none.
        listed: the pairs are named by a list, and not to be looked for.
    """

    name: str
    patient: str
    candidates: tuple[Candidate, ...]
    section: str = ""
    listed: bool = False


@dataclass
class Found:
    """Everything that was found.

    Args:
        exams: to be paired.
        notes: what a person should know, a sentence each.
    """

    exams: list[Exam] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_exams(source: Path, accept_simulated: bool, site: Path | None = None) -> Found:
    """List the exams of a data set: a CSV file, a tree of NIfTI files, or a tree of DICOM.

    Args:
        source: a folder or a CSV file.
        accept_simulated: take this project's simulated series as acquired ones.
        site: what a site's series names mean, see `scripts.dicom.site`.

    Raises:
        UsageError: nothing there that could be paired.
    """
    from scripts.errors import UsageError
    from scripts.pairing.dicom_tree import dicom_exams
    from scripts.pairing.lists import csv_exams
    from scripts.pairing.nifti_tree import nifti_exams

    if not source.exists():
        raise UsageError(f"{source.name}: not found; need a folder of studies or a CSV file; check the path")
    if source.is_file():
        if source.suffix.lower() != ".csv":
            raise UsageError(
                f"{source.name}: a file; need a folder of studies or a CSV (patient,image,label); give one"
            )
        return csv_exams(source)
    found = nifti_exams(source)
    if not found.exams:
        found = dicom_exams(source, accept_simulated, site)
    if not found.exams:
        raise UsageError(
            f"{source.name}: no DICOM image and no NIfTI file; need studies with PD and PDFS, or a CSV "
            "(patient,image,label); check the path"
        )
    return found


def common_folder(paths: Sequence[str]) -> Path:
    """Deepest folder that holds some files."""
    import os

    return Path(os.path.commonpath([str(Path(path).parent) for path in paths]))
