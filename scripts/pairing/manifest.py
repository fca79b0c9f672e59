# SPDX-License-Identifier: Apache-2.0
"""The manifest of pairs: a JSON file that training, evaluation, check and commission read."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.data.patients import same_person
from scripts.errors import OutputError
from scripts.handlers.files import write_text_atomically
from scripts.pairing.candidates import Found
from scripts.pairing.cohort import outliers, sections
from scripts.pairing.exam import Outcome
from scripts.pairing.page import render_page
from scripts.pairing.settings import VERSION as METHOD
from scripts.pairing.settings import Settings
from scripts.software import git_commit, program_version, version

KIND, VERSION = "knee pairs", 1
_PACKAGES = ("SimpleITK", "torch", "monai", "numpy", "pydicom", "nibabel")
_KEPT = ("plane", "slices", "evidence", "scores", "residual_px")


def manifest_of(
    found: Found, outcomes: Sequence[Outcome], base: Path, settings: Settings, before: Mapping[str, str]
) -> dict[str, Any]:
    """Put the results of all exams together.

    Args:
        found: what was looked at.
        outcomes: of its exams, in order.
        base: folder of the manifest; paths below it are written relative to it.
        settings: limits.
        before: sections of an earlier manifest by patient.
    """
    pairs: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    wanted: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for exam, outcome in zip(found.exams, outcomes, strict=True):
        if exam.section:
            wanted[exam.patient] = exam.section
        for entry in outcome["pairs"]:
            name = f"{exam.name}/{entry['plane']}"
            counts[name] += 1
            number = f"-{counts[name]}" if counts[name] > 1 else ""
            pairs.append({"id": f"{name}{number}", "patient": exam.patient} | entry)
        refused += [{"patient": exam.patient} | entry for entry in outcome["refused"]]
    for place, words in sorted(outliers(pairs, settings.outlier_z).items(), reverse=True):
        refused.append(pairs.pop(place) | {"reason": "outlier", "words": words})
    placed = sections([entry["patient"] for entry in pairs], wanted, before, settings.shares)
    notes = [*found.notes]
    if double := same_person(exam.patient for exam in found.exams):
        named = "; ".join(" and ".join(group) for group in double[:5])
        notes.append(f"one patient under two spellings? {named}: kept in one section; correct the names")
    if silent := sum(not outcome["pairs"] and not outcome["refused"] for outcome in outcomes):
        notes.append(f"{silent} exams show neither PD nor PDFS: kneesynth inspect tells what each series is taken for")
    return {
        "kind": KIND,
        "version": VERSION,
        "program": {
            "name": "kneesynth",
            "version": program_version(),
            "commit": git_commit(),
            "packages": {name: version(name) for name in _PACKAGES},
            "method": METHOD,
            "settings": {**asdict(settings), "shares": list(settings.shares)},  # as JSON gives it back
            "settings_sha256": settings.fingerprint(),
        },
        "notes": notes,
        "pairs": [_entry(entry, placed[entry["patient"]], base) for entry in pairs],
        "refused": [_refusal(entry, base) for entry in refused],
    }


def write_manifest(manifest: Mapping[str, Any], outcomes: Sequence[Outcome], path: Path) -> Path:
    """Write the review page, then the manifest; each is whole or not there.

    Returns:
        The page.

    Raises:
        OutputError: they cannot be written.
    """
    page = path.with_suffix(".html")
    pictures = {
        _name(entry, path.parent): entry["pictures"]
        for outcome in outcomes
        for entry in (*outcome["pairs"], *outcome["refused"])
        if entry.get("pictures")
    }
    names = [_name(entry, path.parent) for entry in (*manifest["pairs"], *manifest["refused"])]
    shown = dict(zip(names, (pictures.get(name, {}) for name in names), strict=True))
    try:
        write_text_atomically(page, render_page(manifest, lambda entry: shown.get(_name(entry, path.parent), {})))
        write_text_atomically(path, json.dumps(manifest, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"{path.name}: {error.strerror}; need a writable folder and room; choose another") from error
    return page


def earlier_sections(path: Path) -> dict[str, str]:
    """Sections by patient of the manifest that is about to be replaced; none where there is none.

    Raises:
        OutputError: a file of that name is no manifest of pairs, and is not overwritten.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["kind"] != KIND:
            raise ValueError
        return {str(entry["patient"]): str(entry["section"]) for entry in content["pairs"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{path.name}: there already, and no manifest of pairs; need its name; choose another"
        ) from error


def _entry(entry: Mapping[str, Any], section: str, base: Path) -> dict[str, Any]:
    head = {"id": entry["id"], "patient": entry["patient"], "section": section}
    files = {key: _relative(entry[key], base) for key in ("image", "label")}
    return head | files | {key: entry[key] for key in _KEPT} | {"verdict": "accepted"}


def _refusal(entry: Mapping[str, Any], base: Path) -> dict[str, Any]:
    files = {key: _relative(entry[key], base) for key in ("image", "label") if key in entry}
    head = {"patient": entry["patient"], **files, "reason": entry["reason"], "words": entry["words"]}
    return head | {key: entry[key] for key in ("plane", "scores") if entry.get(key)}


def _relative(source: str | Sequence[str], base: Path) -> str | list[str]:
    if not isinstance(source, str):
        return [str(_relative(name, base)) for name in source]
    path = Path(source)
    absolute = Path(os.path.normpath(path if path.is_absolute() else base / path))
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else str(absolute)


def _name(entry: Mapping[str, Any], base: Path) -> str:
    return str([_relative(entry[key], base) for key in ("image", "label") if key in entry])
