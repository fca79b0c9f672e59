# SPDX-License-Identifier: Apache-2.0
"""What the listener's script does with a study when the archive does not answer; a real one: `test_storescp_route`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bundle" / "docs" / "routes" / "storescp.sh"
MAKE = 'mkdir -p "$4"; printf made > "$4/0001.dcm"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Programs, a study that was received, and a place for temporary files."""
    for name in ("bin", "spool/study_1", "temporary"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "spool/study_1/1.dcm").write_text("received")
    return tmp_path


def run(folder: Path, *arguments: str, **programs: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("flock") is None:
        pytest.skip("needs flock")
    for name, script in ({"sleep": f'echo $1 >> "{folder}/slept"'} | programs).items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "TMPDIR": str(folder / "temporary")}
    return subprocess.run([SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def study(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "--study", str(folder / "spool/study_1"), "host", "104", **programs)


def test_what_was_sent_leaves_nothing(folder: Path) -> None:
    done = study(folder, kneesynth=MAKE, storescu='test -f "$7"')
    assert done.returncode == 0, done.stderr
    assert not (folder / "spool/study_1").exists() and not list((folder / "temporary").iterdir())


def test_what_could_not_be_sent_is_kept_and_said(folder: Path) -> None:
    done = study(folder, kneesynth=MAKE, storescu=f'echo try >> "{folder}/tries"; exit 1')
    assert done.returncode == 1
    assert (folder / "tries").read_text().count("try") == 3 and (folder / "slept").read_text().split()[:2] == [
        "10",
        "60",
    ]
    (kept,) = (folder / "temporary").rglob("*.dcm")
    assert str(kept.parent) in done.stderr and kept.read_text() == "made"
    assert not (folder / "spool/study_1").exists()


def test_an_archive_that_comes_back_gets_it(folder: Path) -> None:
    done = study(
        folder, kneesynth=MAKE, storescu=f'echo try >> "{folder}/tries"; test "$(wc -l < "{folder}/tries")" = 2'
    )
    assert done.returncode == 0 and not list((folder / "temporary").iterdir())


def test_a_refused_study_is_done_with(folder: Path) -> None:
    done = study(folder, kneesynth="echo 'kneesynth: no' >&2; exit 6", storescu="exit 99")
    assert done.returncode == 6 and "kneesynth: no" in done.stderr
    assert not (folder / "spool/study_1").exists() and not list((folder / "temporary").iterdir())


def test_what_waits_when_the_listener_is_stopped_is_kept(folder: Path) -> None:
    waiting = 'while [ "$1" != -od ]; do shift; done; mkdir "$2/study_2"'
    done = run(folder, "11112", "host", "104", storescp=waiting)
    assert "unfinished studies are kept in" in done.stderr
    assert [path.name for path in (folder / "temporary").glob("*/*")] == ["study_2"]


@pytest.mark.parametrize("arguments", [(), ("11112",), ("11112", "host")], ids=len)
def test_too_few_arguments(folder: Path, arguments: tuple[str, ...]) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 2 and done.stderr.startswith("usage: storescp.sh PORT PACS_HOST PACS_PORT")
