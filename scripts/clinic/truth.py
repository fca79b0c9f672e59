# SPDX-License-Identifier: Apache-2.0
"""What is true of a simulated clinic: kept outside the tree that a pairing program is pointed at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scripts.errors import UsageError

KIND, VERSION = "truth of a simulated clinic", 1
STUDIES, BODIES, FILE = "studies", "bodies", "truth.json"
"""Names within the folder of a clinic: the tree of DICOM, bodies of PD by study, and the truth itself."""

Matrix = Sequence[Sequence[float]]


@dataclass(frozen=True)
class TrueSeries:
    """One series as it was written.

    Args:
        role: scout, PD, PDFS or T2: what was scanned, whatever the header says.
        plane: of its slices.
        shape: slices, rows and columns.
        affine_lps: by the header, (slice, row, column, 1) to LPS [mm], slices in the order in which they are stored.
    """

    role: str
    plane: str
    shape: tuple[int, int, int]
    affine_lps: Matrix


@dataclass(frozen=True)
class TruePair:
    """A PD and a PDFS series of one knee in one exam.

    Args:
        image: folder of PD within the study.
        label: of PDFS.
        label_to_image: rigid map from a position by the header of PDFS to that of the same piece of the knee by the
            header of PD, LPS [mm]; with both affines it takes every pixel of PD to its place in PDFS.
        fat_displacement: of fat beside water on PD [pixels], which no map between the series knows.
    """

    image: str
    label: str
    label_to_image: Matrix
    fat_displacement: float


@dataclass(frozen=True)
class TrueRefusal:
    """What has to be refused, and the reasons that are right.

    Args:
        series: folders within the study that a refusal may name.
        reasons: codes of which one has to be given.
        tolerated: codes that may be given besides.
    """

    series: tuple[str, ...]
    reasons: tuple[str, ...]
    tolerated: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrueStudy:
    """One study.

    Args:
        folder: its name in the tree.
        group: see `plan.KINDS`.
        kind: see `plan.KINDS`.
        patient: PatientID as it is written.
        person: number of the patient; the same where one patient has two spellings.
        series: by folder within the study.
        pairs: the true ones.
        refusals: what has to be refused.
    """

    folder: str
    group: str
    kind: str
    patient: str
    person: int
    series: Mapping[str, TrueSeries]
    pairs: tuple[TruePair, ...] = ()
    refusals: tuple[TrueRefusal, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON's types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TrueStudy:
        """What `as_dict` gave, possibly through JSON."""
        plain = {key: content[key] for key in ("folder", "group", "kind", "patient", "person")}
        return cls(
            **plain,
            series={
                name: TrueSeries(**{**one, "shape": tuple(one["shape"])}) for name, one in content["series"].items()
            },
            pairs=tuple(TruePair(**one) for one in content["pairs"]),
            refusals=tuple(
                TrueRefusal(*(tuple(one[key]) for key in ("series", "reasons", "tolerated")))
                for one in content["refusals"]
            ),
        )


@dataclass(frozen=True)
class Truth:
    """The truth of a clinic.

    Args:
        root: folder of the clinic.
        settings: by which it was made.
        studies: in the order of their folders.
    """

    root: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    studies: tuple[TrueStudy, ...] = ()

    def body(self, study: TrueStudy) -> np.ndarray:
        """Where PD shows the knee, bool ``(D, H, W)``, slices in the order in which they are stored."""
        return read_body(self.root / BODIES / f"{study.folder}.npz")


def write_body(path: Path, labels: np.ndarray) -> None:
    """Write the structures on PD, uint8 ``(D, H, W)``; 0 is air."""
    with path.open("wb") as stream:
        np.savez_compressed(stream, labels=labels)


def read_body(path: Path) -> np.ndarray:
    """Where there is a body, bool ``(D, H, W)``."""
    with np.load(path) as content:
        return content["labels"] > 0


def truth_text(settings: Mapping[str, Any], studies: Sequence[TrueStudy]) -> str:
    """The content of ``truth.json``."""
    content = {"kind": KIND, "version": VERSION, "settings": dict(settings)}
    return json.dumps(content | {"studies": [study.as_dict() for study in studies]}, indent=1) + "\n"


def read_truth(folder: Path) -> Truth:
    """Read the truth of a clinic.

    Raises:
        UsageError: there is none, or not of this version.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if (content["kind"], content["version"]) != (KIND, VERSION):
            raise ValueError("another kind or version")
        studies = tuple(map(TrueStudy.from_dict, content["studies"]))
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder.name}: no {FILE}; need a whole simulated clinic; let `python -m scripts.clinic make` finish"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path.name}: no truth of a clinic ({type(error).__name__}); need that of this version; make it anew"
        ) from error
    return Truth(folder, content["settings"], studies)
