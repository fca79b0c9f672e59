# SPDX-License-Identifier: Apache-2.0
"""MONAI Label over the DICOMweb of Orthanc, in a network of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ALONE = ["unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@pytest.mark.label
def test_series_of_orthanc_are_synthesised(label_program: Path, tmp_path: Path) -> None:
    if shutil.which("Orthanc") is None or not PLUGIN.is_file():
        pytest.skip("needs Debian's orthanc and orthanc-dicomweb")
    try:
        subprocess.run([*ALONE, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a network namespace (unshare and ip), since Orthanc would listen on all addresses")
    inside = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*ALONE, *inside, "--basetemp", tmp_path / "inside", ROOT / "tests" / "label" / "orthanc_inside.py"],
        cwd=ROOT, env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "2 passed" in done.stdout
