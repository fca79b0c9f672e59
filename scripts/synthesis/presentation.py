# SPDX-License-Identifier: Apache-2.0
"""What products show besides the synthesis itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Presentation:
    """Choices of the user; they change no voxel of the synthesis.

    Args:
        mark: burn the word SYNTHETIC into an air corner of the derived DICOM slices.
        summary: write a page about the synthesis into the DICOM study.
        identifiers: show name, patient ID and accession number on that page and in the report page, and nowhere else.
    """

    mark: bool = True
    summary: bool = True
    identifiers: bool = False
