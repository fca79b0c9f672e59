# SPDX-License-Identifier: Apache-2.0
"""Output is whole or recognisably not there, whatever happens to the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.errors import OutputError
from scripts.synthesis.staging import check_writable, staged_output

ROOT = Path(__file__).resolve().parents[2]


def _write(stage: Path, **files: str) -> None:
    for name, text in files.items():
        (stage / name.replace("__", ".")).write_text(text)
    names = [name.replace("__", ".") for name in files]
    (stage / "report.json").write_text(json.dumps({"program": "kneesynth", "files": names}))


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _killed(out: Path, where: str) -> None:
    """Run a child that is killed in the middle: while writing, or between two files of the move."""
    code = f"""
import sys, time
from pathlib import Path
from scripts.synthesis import staging
real = Path.replace
def replace(self, target):
    result = real(self, target)
    if {where == "moving"}:
        print("now", flush=True); time.sleep(60)
    return result
Path.replace = replace
with staging.staged_output(Path(sys.argv[1])) as stage:
    for name in ("0001.dcm", "0002.dcm", "report.json"):
        (stage / name).write_text('{{"program": "kneesynth", "files": ["0001.dcm", "0002.dcm"]}}')
    if {where == "writing"}:
        print("now", flush=True); time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    assert child.stdout.readline() == b"now\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def test_absent_folder_appears_at_once_and_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "result"
    with staged_output(out) as stage:
        _write(stage, a__txt="1")
        assert not out.exists()
    assert sorted(_tree(out)) == ["a.txt", "report.json"]
    assert [p.name for p in out.parent.iterdir()] == ["result"]
    assert out.stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_present_folder_keeps_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with staged_output(tmp_path) as stage:
        _write(stage, a__txt="1")
    assert sorted(_tree(tmp_path)) == ["a.txt", "mine.txt", "report.json"]
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_earlier_result_is_replaced_to_the_last_file(tmp_path: Path) -> None:
    for names in ({"a__txt": "1", "b__txt": "2"}, {"a__txt": "3"}):
        with staged_output(tmp_path / "out") as stage:
            _write(stage, **names)
    assert sorted(_tree(tmp_path / "out")) == ["a.txt", "report.json"]
    assert (tmp_path / "out" / "a.txt").read_text() == "3"


@pytest.mark.parametrize("foreign", ["a.txt", "report.json"])
def test_foreign_file_of_the_same_name_is_refused_untouched(tmp_path: Path, foreign: str) -> None:
    (tmp_path / foreign).write_text("mine")
    with pytest.raises(OutputError, match=foreign), staged_output(tmp_path) as stage:
        _write(stage, a__txt="1")
    assert _tree(tmp_path) == {foreign: b"mine"}


@pytest.mark.parametrize("present", [False, True], ids=["absent", "present"])
def test_failure_leaves_the_folder_as_it_was(tmp_path: Path, present: bool) -> None:
    out = tmp_path / "out"
    if present:
        with staged_output(out) as stage:
            _write(stage, a__txt="1")
    before = _tree(tmp_path)
    with pytest.raises(RuntimeError, match="halfway"), staged_output(out) as stage:
        _write(stage, a__txt="2", b__txt="2")
        raise RuntimeError("halfway")
    assert _tree(tmp_path) == before
    assert out.exists() == present


def test_failing_move_leaves_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, moved = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        if moved:
            raise OSError(28, "No space left on device")
        moved.append(self)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OutputError, match="No space left"), staged_output(tmp_path) as stage:
        _write(stage, a__txt="1", b__txt="2")
    assert _tree(tmp_path) == {}


@pytest.mark.parametrize("where", ["writing", "moving"])
def test_killed_run_leaves_no_report_and_the_next_one_clears_up(tmp_path: Path, where: str) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    _killed(tmp_path, where)
    assert not (tmp_path / "report.json").exists()
    assert list(tmp_path.glob(".partial-*"))
    assert (tmp_path / "0001.dcm").exists() == (where == "moving")

    with staged_output(tmp_path) as stage:
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["mine.txt", stage.name])
        _write(stage, other__txt="1")
    assert sorted(_tree(tmp_path)) == ["mine.txt", "other.txt", "report.json"]


def test_killed_run_beside_an_absent_folder_is_cleared(tmp_path: Path) -> None:
    _killed(tmp_path / "out", "writing")
    assert not (tmp_path / "out").exists()
    with staged_output(tmp_path / "out") as stage:
        _write(stage, a__txt="1")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_finished_result_survives_the_clearing(tmp_path: Path) -> None:
    with staged_output(tmp_path) as stage:
        _write(stage, a__txt="1")
    left = tmp_path / ".partial-left"  # killed after the last move, before its own end
    left.mkdir()
    (left / ".journal.json").write_text(json.dumps({"names": ["a.txt", "report.json"]}))
    with pytest.raises(RuntimeError), staged_output(tmp_path):
        raise RuntimeError
    assert sorted(_tree(tmp_path)) == ["a.txt", "report.json"]


def test_journal_cannot_reach_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    out = tmp_path / "out"
    (out / ".partial-evil").mkdir(parents=True)
    names = ["../precious.txt", str(tmp_path / "precious.txt"), ".."]
    (out / ".partial-evil" / ".journal.json").write_text(json.dumps({"names": names}))
    with staged_output(out) as stage:
        _write(stage, a__txt="1")
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_two_runs_do_not_clear_each_other(tmp_path: Path) -> None:
    with staged_output(tmp_path) as stage:
        with pytest.raises(OutputError, match="another run"), staged_output(tmp_path):
            pass
        _write(stage, a__txt="1")
    assert sorted(_tree(tmp_path)) == ["a.txt", "report.json"]


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="a file"):
        check_writable(tmp_path / "out")
    with pytest.raises(OutputError, match="a file"), staged_output(tmp_path / "out"):
        pass
    with pytest.raises(OutputError, match="a file"):
        check_writable(tmp_path / "out" / "deeper")
