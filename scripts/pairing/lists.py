# SPDX-License-Identifier: Apache-2.0
"""Pairs that a person lists in a CSV file: patient, image, label and, where wanted, section."""

from __future__ import annotations

import csv
from pathlib import Path

from scripts.data.pairs import SECTIONS
from scripts.errors import UsageError
from scripts.pairing.candidates import PD, PDFS, Candidate, Exam, Found

_NEEDED = ("patient", "image", "label")


def csv_exams(path: Path) -> Found:
    """Read a list; paths are relative to its folder. The user's word holds for contrast and partner, and is measured.

    Raises:
        UsageError: columns are missing, a row is incomplete, or names an unknown section.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name}: cannot be read as text; need UTF-8; save it again") from error
    rows = list(csv.DictReader(text.splitlines()))
    columns = [name.strip().lower() for name in (rows[0] if rows else {}) if name]
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise UsageError(f"{path.name}: no column {missing[0]}; need patient,image,label[,section]; add it")
    exams = []
    for number, raw in enumerate(rows, 2):
        row = {str(key).strip().lower(): str(value or "").strip() for key, value in raw.items() if key}
        if not all(row.get(name) for name in _NEEDED):
            raise UsageError(f"{path.name} line {number}: incomplete; need patient, image and label; complete it")
        section = row.get("section", "")
        if section and section not in SECTIONS:
            raise UsageError(f"{path.name} line {number}: unknown section; need {', '.join(SECTIONS)}; correct it")
        candidates = tuple(
            Candidate(
                (str(_absolute(path.parent, row[key])),), contrast, evidence=f"line {number} of the list names it"
            )
            for key, contrast in (("image", PD), ("label", PDFS))
        )
        exams.append(Exam(f"line {number}", row["patient"], candidates, section, listed=True))
    return Found(exams)


def _absolute(base: Path, name: str) -> Path:
    return Path(name) if Path(name).is_absolute() else base / name
