# SPDX-License-Identifier: Apache-2.0
"""MONAI Label over the DICOMweb of Orthanc, in a network of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orthanc import DICOM_WEB, need_orthanc
from tests.own_network import pytest_alone


@pytest.mark.label
def test_series_of_orthanc_are_synthesised(label_program: Path, tmp_path: Path) -> None:
    need_orthanc(DICOM_WEB)
    assert "2 passed" in pytest_alone(Path(__file__).with_name("orthanc_inside.py"), tmp_path)
