# SPDX-License-Identifier: Apache-2.0
"""Exams in a tree of NIfTI files: folders per patient, folders per contrast, or a list in dataset.json."""

from __future__ import annotations

import json
from pathlib import Path

from scripts.errors import UsageError
from scripts.pairing.candidates import PD, PDFS, Candidate, Exam, Found
from scripts.transforms.nifti import is_nifti

_LISTS = ("dataset.json", "manifest.json")
_LEFT_OUT = ("clean", "mask", "seg", "labels", "lesion", "t1", "t2", "fat_fraction", "proton_density", "synth")


def nifti_exams(root: Path) -> Found:
    """List the exams below a folder; none where no NIfTI file tells its contrast by its name."""
    for name in _LISTS:
        if (root / name).is_file():
            return _listed(root / name)
    if (root / PD).is_dir() and (root / PDFS).is_dir():
        return Found(_by_contrast(root))
    exams = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        found = [_candidate(path) for path in sorted(folder.rglob("*")) if path.is_file() and is_nifti(path)]
        named = tuple(candidate for candidate in found if candidate.contrast in (PD, PDFS))
        if named:
            exams.append(Exam(folder.name, folder.name, named))
    return Found(exams)


def contrast_of_name(name: str) -> str:
    """PD, PDFS, or "other", by the words in a file's name."""
    from scripts.dicom.contrast import SequenceFacts, classify

    stem = stem_of(name)
    lower = stem.lower().replace("_", " ").replace("-", " ")
    if any(word in lower.split() or f"{word} " in f"{lower} " for word in _LEFT_OUT):
        return "other"
    if lower.replace(" ", "") in ("pdfs", "fs"):
        return PDFS
    if lower.replace(" ", "") == "pd":
        return PD
    contrast, _ = classify(SequenceFacts(description=lower, repetition_time=3.0, echo_time=0.03))
    return contrast if contrast in (PD, PDFS) else "other"


def stem_of(name: str) -> str:
    """A file's name without NIfTI's endings."""
    for suffix in (".nii.gz", ".nii"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _candidate(path: Path) -> Candidate:
    contrast = contrast_of_name(path.name)
    return Candidate((str(path),), contrast, evidence=f"the file's name says {contrast}")


def _by_contrast(root: Path) -> list[Exam]:
    """``PD/<id>`` beside ``PDFS/<id>``: the folder tells the contrast, the name the patient."""
    by_name: dict[str, list[Candidate]] = {}
    for contrast in (PD, PDFS):
        for path in sorted((root / contrast).iterdir()):
            files = [path] if path.is_file() and is_nifti(path) else []
            if path.is_dir():
                files = sorted(p for p in path.rglob("*") if p.is_file())
            if not files:
                continue
            chosen = (str(path),)
            candidate = Candidate(chosen, contrast, evidence=f"it lies in the folder {contrast}")
            by_name.setdefault(stem_of(path.name), []).append(candidate)
    return [Exam(name, name, tuple(found)) for name, found in sorted(by_name.items())]


def _listed(path: Path) -> Found:
    """Pairs of a decathlon list; sections that it names are kept."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path.name} is not JSON; need a list of image and label; correct it") from error
    exams = []
    sections = content if isinstance(content, dict) else {"pairs": content}
    for section, entries in sections.items():
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(entry, dict) or not {"image", "label"} <= set(entry):
                continue
            patient = str(entry.get("patient", f"{section}-{number:04d}"))
            candidates = tuple(
                Candidate(_absolute(path.parent, entry[key]), contrast, evidence=f"{path.name} names it")
                for key, contrast in (("image", PD), ("label", PDFS))
            )
            wanted = str(entry.get("section", section if section in ("training", "validation", "test") else ""))
            exams.append(Exam(f"{path.name} {section} {number + 1}", patient, candidates, wanted, listed=True))
    return Found(exams)


def _absolute(base: Path, entry: str | list[str]) -> tuple[str, ...]:
    names = [entry] if isinstance(entry, str) else list(entry)
    return tuple(name if Path(name).is_absolute() else str(base / name) for name in names)
