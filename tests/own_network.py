# SPDX-License-Identifier: Apache-2.0
"""A network of one's own, for servers that listen on all addresses whatever they are told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALONE = ["unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def pytest_alone(path: Path, folder: Path) -> str:
    """Run a test file in a network with nothing but a loopback; skip where there can be none.

    Args:
        path: a file that is collected only here: its name does not begin with ``test_``.
        folder: for its temporary files.

    Returns:
        What pytest printed, if all went well.
    """
    try:
        subprocess.run([*ALONE, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a network namespace (unshare and ip), since the server would listen on all addresses")
    inside = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*ALONE, *inside, "--basetemp", folder / "inside", path],
        cwd=ROOT, env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout
