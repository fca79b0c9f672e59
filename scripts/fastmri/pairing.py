# SPDX-License-Identifier: Apache-2.0
"""Which PD belongs to which PDFS: by patient where that is beyond doubt, else by a list of the user's."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import UsageError
from scripts.fastmri.volumes import Volume

Listed = tuple[str, str]
"""Names of a PD and of a PDFS file, with or without ending and folder."""
_TITLES = {"pd", "pdfs", "pd file", "pdfs file", "image", "label"}


@dataclass(frozen=True)
class Pair:
    """A PD and a PDFS volume.

    Args:
        patient: for the split by patient; several pairs may share it.
        folder: of its files, unlike that of any other pair.
        image: PD.
        label: PDFS.
        by: ``patient_id`` or ``list``: what says that they belong together.
    """

    patient: str
    folder: str
    image: Volume
    label: Volume
    by: str


@dataclass(frozen=True)
class Unpaired:
    """What has no partner, or was listed and cannot be.

    Args:
        names: of the files.
        reason: ``no_partner``, ``ambiguous_partner``, ``wrong_contrast`` or ``unreadable``, as of ``kneesynth pair``.
        words: the same as a sentence.
    """

    names: tuple[str, ...]
    reason: str
    words: str


def by_patient(volumes: Sequence[Volume]) -> tuple[list[Pair], list[Unpaired]]:
    """Pair the one PD with the one PDFS of each patient; several of a contrast are ambiguous."""
    patients: dict[str, dict[str, list[Volume]]] = defaultdict(lambda: {"PD": [], "PDFS": []})
    for volume in volumes:
        patients[volume.patient][volume.contrast].append(volume)
    pairs, left = [], []
    for patient, found in sorted(patients.items()):
        images, labels = found["PD"], found["PDFS"]
        names = tuple(volume.path.name for volume in (*images, *labels))
        if len(images) == len(labels) == 1:
            pairs.append(Pair(patient, patient, images[0], labels[0], "patient_id"))
        elif images and labels:
            words = f"{len(images)} PD and {len(labels)} PDFS of one patient; a list has to say which belong together"
            left.append(Unpaired(names, "ambiguous_partner", words))
        else:
            missing = "PDFS" if images else "PD"
            left.append(Unpaired(names, "no_partner", f"the patient has no {missing}"))
    return pairs, left


def by_list(volumes: Sequence[Volume], listed: Sequence[Listed]) -> tuple[list[Pair], list[Unpaired]]:
    """Pair what a list says.

    Patients are joined where the list joins them: two pairs that share a ``patient_id`` by any of their volumes are of
    one patient, so that no split can tear them apart.
    """
    named: dict[str, list[Volume]] = defaultdict(list)
    for volume in volumes:
        named[volume.name].append(volume)
    accepted: list[tuple[Volume, Volume]] = []
    left: list[Unpaired] = []
    used: set[str] = set()
    for names in listed:
        stems = tuple(_stem(name) for name in names)
        refusal = _refusal(names, [named[stem] for stem in stems], [stem for stem in stems if stem in used])
        if refusal is not None:
            left.append(refusal)
            continue
        used |= set(stems)
        accepted.append((named[stems[0]][0], named[stems[1]][0]))
    patients = _joined(accepted)
    counts: dict[str, int] = defaultdict(int)
    pairs = []
    for image, label in accepted:
        patient = patients[image.patient]
        counts[patient] += 1
        folder = patient if counts[patient] == 1 else f"{patient}-{counts[patient]}"
        pairs.append(Pair(patient, folder, image, label, "list"))
    return pairs, left


def read_list(path: Path) -> list[Listed]:
    """Read a CSV: PD file and PDFS file in the first two columns; further columns and a row of titles are passed over.

    Raises:
        UsageError: no such file, or no pairs in it.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{path.name}: not readable as CSV ({type(error).__name__}); need PD file, PDFS file per line; check it"
        ) from error
    if rows and {cell.lower() for cell in rows[0][:2]} & _TITLES:
        rows = rows[1:]
    if not rows or any(len(row) < 2 or not (row[0] and row[1]) for row in rows):
        raise UsageError(f"{path.name}: no list of pairs; need PD file, PDFS file in two columns; correct it")
    return [(row[0], row[1]) for row in rows]


def _refusal(names: Listed, found: Sequence[Sequence[Volume]], used: Sequence[str]) -> Unpaired | None:
    plain = tuple(Path(name).name for name in names)
    missing = [name for name, volumes in zip(plain, found, strict=True) if not volumes]
    if missing:
        return Unpaired(plain, "unreadable", f"{' and '.join(missing)} is no volume of the folder")
    if any(len(volumes) > 1 for volumes in found):
        return Unpaired(plain, "ambiguous_partner", "a file name that the folder holds twice")
    if (found[0][0].contrast, found[1][0].contrast) != ("PD", "PDFS"):
        return Unpaired(plain, "wrong_contrast", "the acquisitions are not PD first and PDFS second")
    if used:
        return Unpaired(plain, "ambiguous_partner", f"{used[0]} stands in the list twice")
    return None


def _joined(pairs: Sequence[tuple[Volume, Volume]]) -> dict[str, str]:
    """One key per group of patients that pairs connect."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for image, label in pairs:
        first, second = sorted((root(image.patient), root(label.patient)))
        parent[second] = first
    return {name: root(name) for name in list(parent)}


def _stem(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix.lower() in (".h5", ".hdf5") else path.name
