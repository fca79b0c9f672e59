# SPDX-License-Identifier: Apache-2.0
"""Pairs of fastMRI volumes as NIfTI in a folder per pair, and the list that `kneesynth pair` reads. Resumable."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.errors import DecodeError, OutputError, SourceError
from scripts.fastmri.pairing import Listed, Pair, Unpaired, by_list, by_patient
from scripts.fastmri.volumes import RECONSTRUCTIONS, Volume, find_volumes, read_image
from scripts.handlers.files import write_text_atomically

logger = logging.getLogger(__name__)

VERSION = 1
"""Raise it with any change that alters an imported volume."""
PAIRS, RECORD = "pairs.csv", "fastmri.json"
_SOURCE = "source.json"


@dataclass(frozen=True)
class Imported:
    """What was imported.

    Args:
        pairs: those whose files are there.
        unpaired: volumes without a partner, and listed pairs that cannot be.
        refused: files that are not of the schema, or damaged, each with what was found.
    """

    pairs: tuple[Pair, ...]
    unpaired: tuple[Unpaired, ...]
    refused: tuple[tuple[Path, str], ...]


def import_volumes(
    folder: Path, out: Path, pairs: Sequence[Listed] | None = None, reconstructions: Sequence[str] = RECONSTRUCTIONS
) -> Imported:
    """Import the pairs of a folder.

    Args:
        folder: holds ``.h5`` files at any depth.
        out: gets ``<pair>/PD.nii.gz``, ``<pair>/PDFS.nii.gz`` and ``<pair>/source.json`` for each pair, ``pairs.csv``
            (patient, image, label) and ``fastmri.json``: what was found, settings and hashes. A pair that is there
            from the same sources is kept.
        pairs: names of PD and PDFS files; None pairs by ``patient_id``.
        reconstructions: datasets that are taken, the preferred one first.

    Raises:
        UsageError: no folder, or h5py is missing.
        SourceError: no pair could be found or read.
        OutputError: ``out`` cannot be written.
    """
    found = find_volumes(folder, reconstructions)
    matched, left = by_patient(found.volumes) if pairs is None else by_list(found.volumes, pairs)
    if not matched:
        more = "" if pairs is not None else "; the public files often do not tell it: give a list"
        raise SourceError(
            f"{len(found.volumes)} volumes, {len(found.refused)} files refused, no pair; need PD and PDFS of one "
            f"patient{more}"
        )
    refused, kept, records = list(found.refused), [], []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number, pair in enumerate(matched, 1):
            try:
                records.append(_import_pair(pair, out))
                kept.append(pair)
            except DecodeError as error:
                files = (pair.image.path, pair.label.path)
                path = next((file for file in files if str(error).startswith(file.name)), files[0])
                refused.append((path, str(error)))
                logger.warning("%s", error)
            logger.info("%d of %d pairs", number, len(matched))
        if not kept:
            raise SourceError(f"{len(matched)} pairs, none of them readable; need whole files; download them again")
        write_text_atomically(out / PAIRS, _table(kept))
        write_text_atomically(out / RECORD, _record(kept, records, left, refused, reconstructions))
    except OSError as error:
        raise OutputError(
            f"{out.name}: cannot be written ({error.strerror or error}); need room and rights; choose another folder"
        ) from error
    return Imported(tuple(kept), tuple(left), tuple(refused))


def affine_ras(spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> np.ndarray:
    """The affine of an imported volume, (column, row, slice, 1) to RAS [mm], its middle at the origin.

    Coronal: columns run to the patient's left, rows to the feet, slices to the back. The files do not say where a knee
    lay, which side it is, or from which end slices were counted; that is how they are taken.
    """
    affine = np.diag([-spacing[2], -spacing[1], -spacing[0], 1.0])[[0, 2, 1, 3]]
    middle = [(size - 1) / 2 for size in (shape[2], shape[1], shape[0])]
    affine[:3, 3] = -affine[:3, :3] @ middle
    return affine


def _import_pair(pair: Pair, out: Path) -> dict[str, Any]:
    home, wanted = out / pair.folder, _sources(pair)
    try:
        former = json.loads((home / _SOURCE).read_text(encoding="utf-8"))
        if former["sources"] == wanted and all((home / name).is_file() for name in former["sha256"]):
            return dict(former)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or not of this program: made anew
    stage = out / f".{pair.folder}.partial"
    shutil.rmtree(stage, ignore_errors=True)
    try:
        stage.mkdir()
        digests = {}
        for volume in (pair.image, pair.label):
            image = read_image(volume)
            name = f"{volume.contrast}.nii.gz"
            _write(stage / name, image, volume)
            digests[name] = hashlib.sha256(image.tobytes()).hexdigest()
        record = {"sources": wanted, "sha256": digests}
        (stage / _SOURCE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(home, ignore_errors=True)
        stage.replace(home)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return record


def _write(path: Path, image: np.ndarray, volume: Volume) -> None:
    import nibabel

    affine = affine_ras(volume.geometry.spacing, volume.shape)
    nifti = nibabel.Nifti1Image(np.ascontiguousarray(image.transpose(2, 1, 0)), affine)
    nifti.header.set_xyzt_units("mm")
    nibabel.save(nifti, path)


def _sources(pair: Pair) -> dict[str, Any]:
    """What an imported pair follows from; a file is known by its name and size, so that k-space is not read."""
    return {"version": VERSION, "by": pair.by, "PD": _source(pair.image), "PDFS": _source(pair.label)}


def _source(volume: Volume) -> dict[str, Any]:
    return {
        "file": volume.path.name,
        "bytes": volume.path.stat().st_size,
        "reconstruction": volume.reconstruction,
        "shape": list(volume.shape),
        "spacing_mm": list(volume.geometry.spacing),
        "patient": volume.patient,
    }


def _table(pairs: Sequence[Pair]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("patient", "image", "label"))
    writer.writerows((pair.patient, f"{pair.folder}/PD.nii.gz", f"{pair.folder}/PDFS.nii.gz") for pair in pairs)
    return text.getvalue()


def _record(
    pairs: Sequence[Pair],
    records: Sequence[dict[str, Any]],
    left: Sequence[Unpaired],
    refused: Sequence[tuple[Path, str]],
    reconstructions: Sequence[str],
) -> str:
    content = {
        "kind": "imported fastMRI knees",
        "version": VERSION,
        "settings": {
            "reconstructions": list(reconstructions),
            "flipped": "rows, so that the head is up",
            "orientation": "coronal: columns to the left, rows to the feet, slices to the back; side and place unknown",
            "intensities": "as stored",
        },
        "pairs": [
            {"patient": pair.patient, "folder": pair.folder, **record}
            for pair, record in zip(pairs, records, strict=True)
        ],
        "unpaired": [{"files": list(one.names), "reason": one.reason, "words": one.words} for one in left],
        "refused": [{"file": path.name, "words": words} for path, words in refused],
    }
    return json.dumps(content, indent=1) + "\n"
