# SPDX-License-Identifier: Apache-2.0
"""What counts as finished, and what must not be taken for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.archive.finished import finished_series, is_finished, remember_study
from scripts.archive.manifest import Line
from scripts.errors import OutputError

WEIGHTS = "ab" * 32
REPORT = {
    "program": "kneesynth",
    "status": "done",
    "model": {"weights_sha256": WEIGHTS},
    "series": [{"target_contrast": "PDFS"}],
}


def _report(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(REPORT | changes))
    return folder


def _study() -> Line:
    return Line(2, "a", Path("a"), None, "PDFS", "a")


def test_a_folder_with_its_report_is_finished(tmp_path: Path) -> None:
    assert is_finished(_report(tmp_path / "a"), "PDFS", WEIGHTS)


def test_what_is_not_whole_is_not_finished(tmp_path: Path) -> None:
    assert not is_finished(tmp_path / "absent", "PDFS", WEIGHTS)
    (tmp_path / "0001.dcm").touch()
    assert not is_finished(tmp_path, "PDFS", WEIGHTS)
    (tmp_path / "report.json").write_text('{"program": "kneesynth", "sta')
    assert not is_finished(tmp_path, "PDFS", WEIGHTS)
    assert not is_finished(_report(tmp_path / "b", program="other"), "PDFS", WEIGHTS)
    assert not is_finished(_report(tmp_path / "c", status="refused"), "PDFS", WEIGHTS)


@pytest.mark.parametrize(
    ("target", "weights", "words"),
    [("PD", WEIGHTS, "made as PDFS; need a folder for PD"), ("PDFS", "cd" * 32, "made as weights abab")],
)
def test_other_weights_and_the_other_contrast_are_never_mixed_in(
    tmp_path: Path, target: str, weights: str, words: str
) -> None:
    with pytest.raises(OutputError, match=words):
        is_finished(_report(tmp_path / "a"), target, weights)


def test_a_study_is_finished_when_all_its_series_are(tmp_path: Path) -> None:
    line, searched = _study(), {"force": False}
    assert finished_series(line, tmp_path, searched, WEIGHTS) is None
    remember_study(line, tmp_path, searched, {"1.1": "1.2.3", "2.1": "1.2.4"})
    _report(tmp_path / "a" / "1.1")
    assert finished_series(line, tmp_path, searched, WEIGHTS) is None
    _report(tmp_path / "a" / "2.1")
    assert finished_series(line, tmp_path, searched, WEIGHTS) == 2
    # --force may find more in it.
    assert finished_series(line, tmp_path, {"force": True}, WEIGHTS) is None


def test_what_is_remembered_holds_no_identifier(tmp_path: Path) -> None:
    remember_study(_study(), tmp_path, {}, {"1.1": "1.2.840.5"})
    assert "840" not in (tmp_path / "a" / "study.json").read_text()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["study.json"]


def test_a_study_whose_stacks_were_renumbered_is_refused(tmp_path: Path) -> None:
    remember_study(_study(), tmp_path, {}, {"1.1": "1.2.3"})
    remember_study(_study(), tmp_path, {}, {"1.1": "1.2.3", "2.1": "1.2.4"})
    with pytest.raises(OutputError, match=r"stack 1\.1 is another series now"):
        remember_study(_study(), tmp_path, {}, {"1.1": "1.2.0", "2.1": "1.2.3"})
