# SPDX-License-Identifier: Apache-2.0
"""A run that is killed at any moment leaves no report beside an incomplete series, and the next run completes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A staging that moves the report first, as a plain loop over the names would.
HASTY = """
import sys
from scripts.synthesis import staging
def move_in(stage, out):
    for name in staging._products_of_last_run(out):
        (out / name).unlink(missing_ok=True)
    names = [path.name for path in stage.iterdir() if path.name != ".lock"]
    for name in sorted(names, key=lambda name: name != staging.REPORT_NAME):
        (stage / name).replace(out / name)
staging._move_in = move_in
from tests.synthesis.killed import main
sys.argv[1:] = ["--moments", "12", "--seed", "1"]
sys.exit(main())
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_ten_random_moments() -> None:
    done = run("-m", "tests.synthesis.killed", "--moments", "10", "--seed", "2")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert " 0 left something wrong" in done.stdout
    assert int(done.stdout.split()[0]) >= 5  # a moment may come after the last write


@pytest.mark.slow
def test_a_report_that_is_moved_first_is_seen() -> None:
    done = run("-c", HASTY)
    assert done.returncode == 1 and "a listed file is missing" in done.stdout, done.stdout + done.stderr[-2000:]
