# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts.errors import UsageError
from scripts.handlers.run_dir import choose_run_dir, is_locked, lock, read_record


def a_run(output_dir: Path, name: str, finished: bool) -> Path:
    folder = output_dir / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"finished": finished}), encoding="utf-8")
    return folder


def test_a_new_run_is_named_after_the_time_and_not_created(tmp_path: Path) -> None:
    first = Path(choose_run_dir(str(tmp_path)))
    assert first.parent == tmp_path
    assert re.fullmatch(r"\d{8}-\d{6}", first.name)
    assert not first.exists()


def test_two_runs_in_one_second_do_not_share_a_folder(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        folder = Path(choose_run_dir(str(tmp_path)))
        folder.mkdir()
        names.add(folder.name)
    assert len(names) == 3


def test_resume_takes_the_newest_unfinished_run(tmp_path: Path) -> None:
    a_run(tmp_path, "20260101-000000", finished=False)
    wanted = a_run(tmp_path, "20260102-000000", finished=False)
    a_run(tmp_path, "20260103-000000", finished=True)
    (tmp_path / "20260104-000000").mkdir()  # no run: somebody's notes
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    assert choose_run_dir(str(tmp_path), resume=True) == str(wanted)


def test_resume_passes_over_a_run_that_is_still_being_trained(tmp_path: Path) -> None:
    older = a_run(tmp_path, "20260101-000000", finished=False)
    newer = a_run(tmp_path, "20260102-000000", finished=False)
    held = lock(newer)
    assert is_locked(newer) and not is_locked(older)
    assert choose_run_dir(str(tmp_path), resume=True) == str(older)
    held.close()
    assert choose_run_dir(str(tmp_path), resume=True) == str(newer)


@pytest.mark.parametrize("finished", [True, None], ids=["only finished runs", "no folder"])
def test_nothing_to_resume_is_refused(tmp_path: Path, finished: bool | None) -> None:
    if finished:
        a_run(tmp_path / "outputs", "20260101-000000", finished=True)
    with pytest.raises(UsageError, match="no unfinished training run"):
        choose_run_dir(str(tmp_path / "outputs"), resume=True)


def test_a_named_folder_is_started_or_continued(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert choose_run_dir(str(tmp_path), run_dir=str(folder)) == str(folder)
    assert choose_run_dir(str(tmp_path), resume=True, run_dir=str(folder)) == str(folder)
    a_run(tmp_path, "mine", finished=True)
    assert choose_run_dir(str(tmp_path), resume=True, run_dir=str(folder)) == str(folder)
    with pytest.raises(UsageError, match="already holds a training run"):
        choose_run_dir(str(tmp_path), run_dir=str(folder))


def test_a_second_process_cannot_take_the_folder(tmp_path: Path) -> None:
    held = lock(tmp_path / "run")
    with pytest.raises(UsageError, match="another process"):
        lock(tmp_path / "run")
    held.close()
    again = lock(tmp_path / "run")
    again.close()


def test_a_torn_record_reads_as_no_run(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"finished": fal', encoding="utf-8")
    assert read_record(tmp_path) is None
