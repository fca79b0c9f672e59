# SPDX-License-Identifier: Apache-2.0
"""Which registered PD/PDFS pairs a run trains on, validates on or is scored on: simulated ones or the user's own."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.data.folds import fold_sections, in_hash_order
from scripts.data.patients import in_two_sections, same_person
from scripts.errors import UsageError
from scripts.processes import agreed, in_turn
from scripts.simulation.cohort import MAPS, simulated_cohort

logger = logging.getLogger(__name__)

SECTIONS = ("training", "validation", "test")
_REFUSED = "refused"  # of a manifest: what `kneesynth pair` found to be no pair
_NIFTI = (".nii.gz", ".nii")
EXPECTED = (
    "<patient>/PD.nii.gz + <patient>/PDFS.nii.gz, or PD/<id>.nii.gz + PDFS/<id>.nii.gz, or a decathlon JSON "
    "(dataset.json) with image (PD) and label (PDFS), or a DICOM study per folder"
)

Item = dict[str, Any]


def simulated_pairs(
    cache_dir: str,
    section: str,
    studies: int,
    seed: int = 0,
    shape: Sequence[int] = (24, 256, 256),
    preset: str = "clinical",
    scanned: bool | None = None,
) -> list[Item]:
    """Pairs of the simulated cohort, made on first use.

    Items to train on hold ``maps``, the knee's tissue, and ``preset``, what it is to be scanned with; those of the
    other sections are noisy scans with their clean targets beside them.

    Args:
        cache_dir: where the cohort is kept.
        section: training, validation or test.
        studies: number of patients.
        seed: cohort seed.
        shape: slices, rows, columns.
        preset: name or file of what is drawn.
        scanned: whole scans, else tissue maps; by default whatever the section needs.
    """
    scanned = section != "training" if scanned is None else scanned
    made = in_turn(lambda: simulated_cohort(cache_dir, section, studies, seed, shape, preset, scanned))
    items: list[Item] = []
    for patient in made:
        item: Item = {"patient": patient.folder.name}
        if scanned:
            item |= {key: str(patient.folder / f"{file}.pt") for key, file in _SCANS.items()}
        else:
            item |= {"maps": str(patient.folder / MAPS), "preset": preset}
        items.append(item)
    return items


_SCANS = {"image": "PD", "label": "PDFS", "image_clean": "PD_clean", "label_clean": "PDFS_clean"}


def pairs(
    dataset_dir: str,
    manifest: str,
    section: str,
    simulated: Mapping[str, Any],
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    fold: Sequence[int] | None = None,
) -> list[Item]:
    """The pairs of one section of the data that a run was pointed at.

    Args:
        dataset_dir: the user's folder, see `EXPECTED`; empty for the simulated cohort.
        manifest: a JSON file of pairs, instead of a folder; empty for none.
        section: training, validation or test.
        simulated: arguments of `simulated_pairs`: ``cache_dir``, ``seed``, ``shape``, and ``studies`` and ``presets``,
            mappings of section to number and to preset.
        shares: how patients without a stated section are split, by a hash of their name.
        fold: one fold of a cross-validation, see `scripts.data.folds`; stated sections do not count then.

    Returns:
        Items with ``patient``, ``image`` (PD) and ``label`` (PDFS), as paths; ``slices`` where a manifest says which
        slice lies where, see `scripts.transforms.align`. Simulated ones to train on hold ``maps`` instead, see
        `simulated_pairs`.

    Raises:
        UsageError: for a folder or manifest that holds no pairs, none of the section, names missing files, or has one
            patient in two sections.
    """
    if section not in SECTIONS:
        raise UsageError(f"section {section!r} is unknown; choose one of {', '.join(SECTIONS)}")
    if not dataset_dir and not manifest:
        if fold:
            raise UsageError("folds of simulated knees; need pairs of your own; name dataset_dir or manifest")
        options = dict(simulated)
        studies, presets = options.pop("studies"), options.pop("presets", {})
        if section in presets:
            options["preset"] = presets[section]
        return simulated_pairs(section=section, studies=int(studies[section]), **options)
    found = _from_manifest(Path(manifest)) if manifest else _from_folder(Path(dataset_dir))
    if fold:
        sections = fold_sections((item["patient"] for item in found), fold)
        chosen = [item for item in found if sections[item["patient"]] == section]
    elif all("section" in item for item in found):
        _check_sections(found)
        chosen = [item for item in found if item["section"] == section]
    else:
        chosen = _split(found, section, shares)
    if not chosen:
        raise UsageError(
            f"{len(found)} pairs but none for {section}; need more patients; add them, or name sections in a manifest"
        )
    return chosen


def check_both(training: Sequence[Item], validation: Sequence[Item]) -> None:
    """Refuse a run without pairs to train on or to validate on; one that hands over its own list may lack either.

    Raises:
        UsageError: one of the two is empty.
    """
    if not training:
        raise UsageError(
            "no pairs to train on; need images that have a label, the same slices in the other contrast "
            "(MONAI Label: labels/final); add some"
        )
    if not validation:
        raise UsageError(
            f"{len(training)} pairs to train on and none to validate on; need one at least; "
            "add pairs, or hold back a larger share (MONAI Label: val_split)"
        )


def are_simulated(items: Sequence[Mapping[str, Any]]) -> bool:
    """Whether pairs to train on are this project's simulated knees, and no one's patients."""
    return any("maps" in item for item in items)


def fingerprint(items: Sequence[Item]) -> dict[str, Any]:
    """What identifies a data list without a patient's name: number of pairs and a hash of file names and sizes.

    Raises:
        UsageError: processes that train together see different data.
    """
    digest = hashlib.sha256()
    for item in items:
        for key in ("image", "label", "maps"):
            for path in _paths(item.get(key, [])):
                size = path.stat().st_size if path.is_file() else 0
                digest.update(f"{path.parent.name}/{path.name}:{size};".encode())
    found = {"pairs": len(items), "sha256": digest.hexdigest()}
    agreed(str(found), "the training data")
    return found


def _paths(entry: str | Sequence[str]) -> list[Path]:
    return [Path(entry)] if isinstance(entry, str) else [Path(name) for name in entry]


def _split(items: list[Item], section: str, shares: Sequence[float]) -> list[Item]:
    """Split by patient: sorted by a hash of the name, so that adding one patient moves at most a few others."""
    patients = in_hash_order(item["patient"] for item in items)
    edges, total = [0], 0.0
    for share in shares:
        total += share
        edges.append(round(total / sum(shares) * len(patients)))
    where = SECTIONS.index(section)
    mine = set(patients[edges[where] : edges[where + 1]])
    return [item for item in items if item["patient"] in mine]


def _from_manifest(path: Path) -> list[Item]:
    if not path.is_file():
        raise UsageError(f"manifest {path.name} not found; need a JSON file of pairs; check the path")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"manifest {path.name} is not JSON ({error}); need {EXPECTED}") from error
    items: list[Item] = []
    listed = content if isinstance(content, dict) else {"pairs": content}
    for section, entries in listed.items():
        if not isinstance(entries, list) or section == _REFUSED:
            continue
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict) or not {"image", "label"} <= set(entry):
                continue
            item: Item = {"patient": str(entry.get("patient", f"{section}-{index:04d}"))}
            item |= {key: _located(path.parent, entry[key]) for key in _SCANS if key in entry}
            if entry.get("slices") is not None:
                item["slices"] = _rows(path.name, len(items) + 1, entry["slices"])
            if "section" in entry or (section in SECTIONS and len(listed.keys() & set(SECTIONS)) > 1):
                item["section"] = entry.get("section", section)
            items.append(item)
    if not items:
        raise UsageError(f"manifest {path.name} names no pairs; need entries with image (PD) and label (PDFS)")
    missing = [number for number, item in enumerate(items, 1) if not all(map(_is_there, _files(item)))]
    if missing:  # told by number: a user's file name may be a person's
        raise UsageError(
            f"manifest {path.name}: files of {len(missing)} pairs not found, first of pair {missing[0]}; "
            "need every file where it was; put them back, correct the paths, or make the manifest again"
        )
    return items


def _located(base: Path, entry: str | Sequence[str]) -> str | list[str]:
    """A path, or the files of one stack, that a manifest names from its own folder."""
    names = [entry] if isinstance(entry, str) else [str(name) for name in entry]
    found = [name if Path(name).is_absolute() else str(base / name) for name in names]
    return found[0] if isinstance(entry, str) else found


def _files(item: Item) -> list[Path]:
    return [path for key in _SCANS if key in item for path in _paths(item[key])]


def _is_there(path: Path) -> bool:
    """A file, a folder, or a frame of an Enhanced file (``file.dcm/frames/7``)."""
    return path.exists() or (path.parent.name == "frames" and path.parents[1].is_file())


def _rows(name: str, number: int, rows: Any) -> list[list[float]]:
    """The slices of a pair as numbers, see `scripts.transforms.align`."""
    try:
        found = [[float(value) for value in row] for row in rows]
    except (TypeError, ValueError):
        found = []
    if not found or any(len(row) != 5 for row in found):
        raise UsageError(
            f"manifest {name}: slices of pair {number} cannot be read; need rows of [k, m, dx_mm, dy_mm, angle_rad]; "
            "make the manifest again"
        )
    return found


def _check_sections(items: Sequence[Item]) -> None:
    """Refuse a patient in two sections, who would be trained on and scored; warn where only the spelling differs.

    Raises:
        UsageError: a patient stands in more than one section, or a section is unknown.
    """
    unknown = [number for number, item in enumerate(items, 1) if item["section"] not in SECTIONS]
    if unknown:
        raise UsageError(f"pair {unknown[0]}: unknown section; need one of {', '.join(SECTIONS)}; correct it")
    torn = in_two_sections((item["patient"], item["section"]) for item in items)
    if torn:
        raise UsageError(
            f"{len(torn)} patients in more than one section (first: {torn[0]}); need each in one, or scores are of "
            "knees that were trained on; move their pairs together"
        )
    section_of = {item["patient"]: item["section"] for item in items}
    for group in same_person(section_of):
        if len({section_of[name] for name in group}) > 1:
            logger.warning(
                "%s may be one patient under %d spellings, in more than one section; if so, move the pairs together",
                " and ".join(group),
                len(group),
            )


def _from_folder(root: Path) -> list[Item]:
    if not root.is_dir():
        raise UsageError(f"dataset_dir {root} is not a folder; need {EXPECTED}")
    for name in ("dataset.json", "manifest.json"):
        if (root / name).is_file():
            return _from_manifest(root / name)
    items = _by_contrast(root) or _by_patient(root) or _by_study(root)
    if not items:
        seen = ", ".join(sorted(entry.name for entry in root.iterdir())[:6]) or "nothing"
        raise UsageError(f"dataset_dir {root.name} holds no pairs (found: {seen}); expected {EXPECTED}")
    return items


def _stem(path: Path) -> str:
    for suffix in _NIFTI:
        if path.name.endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def _by_contrast(root: Path) -> list[Item]:
    """``PD/<id>`` beside ``PDFS/<id>``: NIfTI files or DICOM folders."""
    if not ((root / "PD").is_dir() and (root / "PDFS").is_dir()):
        return []
    images = {_stem(path): path for path in sorted((root / "PD").iterdir())}
    labels = {_stem(path): path for path in sorted((root / "PDFS").iterdir())}
    return [
        {"patient": name, "image": str(images[name]), "label": str(labels[name])} for name in images if name in labels
    ]


def _by_patient(root: Path) -> list[Item]:
    """``<patient>/PD.nii.gz`` beside ``<patient>/PDFS.nii.gz`` (or folders of DICOM under these names)."""
    items: list[Item] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        files = {_stem(path): path for path in folder.iterdir()}
        if {"PD", "PDFS"} <= set(files):
            items.append({"patient": folder.name, "image": str(files["PD"]), "label": str(files["PDFS"])})
    return items


def _by_study(root: Path) -> list[Item]:
    """Folders of DICOM: a PD and a PDFS stack of the same plane and matrix make a pair."""
    from scripts.dicom.index import index_series

    items: list[Item] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        stacks = [s for s in index_series([folder]) if s.usable and not s.derived and not s.localizer]
        for image in (s for s in stacks if s.contrast == "PD"):
            twins = [
                s
                for s in stacks
                if s.contrast == "PDFS"
                and (s.plane, s.shape, s.slices, s.frame_of_reference_uid)
                == (image.plane, image.shape, image.slices, image.frame_of_reference_uid)
            ]
            if len(twins) == 1:
                files = {"image": [str(p) for p in image.files], "label": [str(p) for p in twins[0].files]}
                items.append({"patient": folder.name, **files})
    return items


def all_pairs(dataset_dir: str, manifest: str, shares: Sequence[float] = (0.8, 0.1, 0.1)) -> list[Item]:
    """The user's pairs of all sections, each with its ``section``; nothing is said of how they are split.

    Args:
        dataset_dir: see `pairs`.
        manifest: see `pairs`.
        shares: see `pairs`.

    Raises:
        UsageError: as `pairs`.
    """
    found = _from_manifest(Path(manifest)) if manifest else _from_folder(Path(dataset_dir))
    if all("section" in item for item in found):
        return found
    return [item | {"section": section} for section in SECTIONS for item in _split(found, section, shares)]
