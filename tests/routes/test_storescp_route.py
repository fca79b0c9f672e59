# SPDX-License-Identifier: Apache-2.0
"""The listener of the documentation, with DCMTK at both ends, in a network of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.own_network import pytest_alone


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("storescp") is None, reason="needs Debian's dcmtk")
def test_a_study_is_received_and_its_series_sent_on(tmp_path: Path) -> None:
    assert "1 passed" in pytest_alone(Path(__file__).with_name("storescp_inside.py"), tmp_path)
