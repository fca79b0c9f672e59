# SPDX-License-Identifier: Apache-2.0
"""Whom a series is of, for a page that stays inside a hospital; asked for explicitly, never logged or reported."""

from __future__ import annotations

from pathlib import Path

from scripts.dicom.inherited import read_source
from scripts.dicom.values import quiet, text, value_of

NOT_SAID = "not in the source"


def identifiers_of(file: Path) -> dict[str, str]:
    """Name, patient ID and accession number as a header gives them.

    Args:
        file: any image of the series, or the address of a frame.

    Returns:
        Labels as a person reads them, each with a value.
    """
    dataset = read_source(file)
    with quiet():
        found = {
            "Name": _readable(value_of(dataset, "PatientName")),
            "Patient ID": text(dataset, "PatientID"),
            "Accession number": text(dataset, "AccessionNumber"),
        }
    return {label: value or NOT_SAID for label, value in found.items()}


def _readable(name: object) -> str:
    """Write a name as "Family, Given Middle"; of several ways of writing it the alphabetic one comes first."""
    first = next(filter(None, str(name or "").split("=")), "")
    family, *given = first.split("^")
    rest = " ".join(filter(None, given))
    return f"{family}, {rest}" if rest else family
