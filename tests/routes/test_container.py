# SPDX-License-Identifier: Apache-2.0
"""Folder in, folder out, exit code: without network, under a user nobody knows, on a file system that is read-only."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

pytestmark = pytest.mark.slow

Contained = Callable[..., "subprocess.CompletedProcess[str]"]

# What the program itself says on the way; a library's word about caches, homes or temporary files is none of it.
PROGRESS = re.compile(r"\d\d:\d\d:\d\d (loading|synthesising|writing).*")


@pytest.fixture
def folders(knee_exam: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A study as mercure lays it out, and an empty output folder."""
    source, out = tmp_path / "data", tmp_path / "output"
    source.mkdir()
    out.mkdir()
    for number, file in enumerate(sorted(knee_exam.rglob("*.dcm"))):
        shutil.copy(file, source / f"2.25.77#2.25.{number}.dcm")
    return source, out


def series_in(folder: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for file in folder.glob("*.dcm"):
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        assert dataset.SyntheticData == "YES"
        found[dataset.SeriesInstanceUID] = found.get(dataset.SeriesInstanceUID, 0) + 1
    return found


def test_the_container_is_one(contained: Contained, tmp_path: Path) -> None:
    (tmp_path / "free").mkdir()
    script = "import os, socket, pathlib; print(os.getuid(), os.getgid(), os.environ.get('HOME'))\n" + "".join(
        f"try: {line}; print('possible')\nexcept OSError as error: print(error.errno)\n"
        for line in (
            f"pathlib.Path({str(tmp_path)!r}, 'x').touch()",
            f"pathlib.Path({str(tmp_path)!r}, 'free', 'x').touch()",
            "socket.create_connection(('192.0.2.1', 80), 1)",
        )
    )
    done = contained(["python3", "-c", script], {}, [tmp_path / "free"])
    assert done.stdout.split() == ["12345", "12345", "None", "30", "possible", "101"], done.stderr


def test_a_whole_study_where_only_the_output_folder_can_be_written(
    contained: Contained, kneesynth: list[str], folders: tuple[Path, Path]
) -> None:
    source, out = folders
    variables = {"MERCURE_IN_DIR": str(source), "MERCURE_OUT_DIR": str(out)}
    done = contained([*kneesynth, "synthesize", "--all"], variables, [out])
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not PROGRESS.fullmatch(line)] == []
    assert sorted(series_in(out).values()) == [1, 1, 10, 10]  # a summary page beside each series
    assert json.loads((out / "result.json").read_text())["status"] == "done"
    assert {path.suffix for path in out.iterdir()} == {".dcm", ".gz", ".html", ".json"}
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_home_that_cannot_be_written_and_a_folder_for_temporary_files(
    contained: Contained, kneesynth: list[str], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    source, out = folders
    (tmp_path / "temporary").mkdir()
    variables = {"HOLOSCAN_INPUT_PATH": str(source), "HOLOSCAN_OUTPUT_PATH": str(out)}
    variables["TMPDIR"] = str(tmp_path / "temporary")
    command = ["env", f"HOME={tmp_path}", *kneesynth, "synthesize", "--all", "--format", "dicom"]
    done = contained(command, variables, [out, tmp_path / "temporary"])
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not PROGRESS.fullmatch(line)] == []
    assert sorted(series_in(out).values()) == [1, 1, 10, 10]  # a summary page beside each series
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_refusal_is_a_line_a_code_and_a_result(
    contained: Contained, kneesynth: list[str], folders: tuple[Path, Path]
) -> None:
    source, out = folders
    variables = {"MERCURE_IN_DIR": str(source), "MERCURE_OUT_DIR": str(out)}
    done = contained([*kneesynth, "synthesize"], variables, [out])  # three PD series, and no --all
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("kneesynth: 3 usable PD stacks among 6; need exactly one")
    assert [path.name for path in out.iterdir()] == ["result.json"]
    assert json.loads((out / "result.json").read_text())["exit_code"] == 3


def test_an_output_folder_that_cannot_be_written_is_refused(
    contained: Contained, kneesynth: list[str], folders: tuple[Path, Path]
) -> None:
    source, out = folders
    variables = {"MERCURE_IN_DIR": str(source), "MERCURE_OUT_DIR": str(out)}
    done = contained([*kneesynth, "synthesize", "--all"], variables, [])
    assert done.returncode == 8, done.stderr
    assert len(done.stderr.splitlines()) == 1 and list(out.iterdir()) == []
