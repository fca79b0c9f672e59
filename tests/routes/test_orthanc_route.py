# SPDX-License-Identifier: Apache-2.0
"""The Orthanc plugin of the documentation, and DICOMweb, against Debian's Orthanc in a network of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orthanc import DICOM_WEB, PYTHON, need_orthanc
from tests.own_network import pytest_alone

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


def test_the_plugin_completes_a_study_once(tmp_path: Path) -> None:
    need_orthanc(PYTHON)
    assert "1 passed" in pytest_alone(HERE / "orthanc_plugin_inside.py", tmp_path)


def test_the_result_goes_through_dicomweb(tmp_path: Path) -> None:
    need_orthanc(DICOM_WEB)
    assert "1 passed" in pytest_alone(HERE / "orthanc_dicomweb_inside.py", tmp_path)
