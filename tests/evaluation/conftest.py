# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evaluation.knees import PD, PDFS, save, scan


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A function that writes targets ``CASE/{PD,PDFS}.nii.gz`` and predictions ``CASE.nii.gz``; gives both folders.

    A prediction is the noise-free PDFS of its patient on the scale of this project, 1000 for the bright end, and a
    little wrong.
    """

    def make(patients: int = 3, simulated: bool = False, factor: float = 1.0) -> tuple[Path, Path]:
        targets, predictions = tmp_path / "targets", tmp_path / "predictions"
        for number in range(patients):
            name = f"p{number}"
            save(targets / name / "PD.nii.gz", scan(PD, number))
            save(targets / name / "PDFS.nii.gz", factor * scan(PDFS, number))
            if simulated:
                (targets / name / "drawn.json").write_text("{}")
            save(predictions / f"{name}.nii.gz", scan(PDFS, number, 0.0) * (1.2 + 0.05 * number))
        return predictions, targets

    return make
