# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from scripts.dicom.write import Provenance


@pytest.fixture
def edit() -> Callable[..., None]:
    """A function that sets attributes of a file; the value ``...`` deletes one."""

    def change(file: Path, **attributes: Any) -> None:
        import pydicom

        dataset = pydicom.dcmread(file)
        for keyword, value in attributes.items():
            if value is ...:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        if "SOPInstanceUID" in attributes:
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(file, enforce_file_format=True)

    return change


@pytest.fixture
def provenance() -> Provenance:
    return Provenance("test model", "1.2.3", "ab" * 32, {"to": "PDFS"}, datetime(2030, 1, 2, 3, 4, 5))
