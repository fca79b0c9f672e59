# SPDX-License-Identifier: Apache-2.0
"""The command line of an archive: what it asks for, what it says, and what it ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.archive.run import ArchiveRequest, Summary
from scripts.cli.app import main
from scripts.cli.packed_synthesis import arguments_of
from scripts.cli.progress import _lines
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.selection import Lift

ROOT = Path(__file__).resolve().parents[2]
FAILURE = {
    "series": "a/1.1",
    "line": 4,
    "status": "failed",
    "attempt": 3,
    "exit_code": 8,
    "error": "no room; make some",
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ArchiveRequest]:
    """Requests that reach the run, which makes one series fail where the folder is called `bad`."""
    requests: list[ArchiveRequest] = []

    def record(request: ArchiveRequest, tell: object) -> Summary:
        requests.append(request)
        summary = Summary(3, "results.jsonl", finished_before=1, done=2, seconds=30.0, device_busy=0.5)
        summary.failures = [dict(FAILURE, line=n) for n in range(4, 29)] if request.out.name == "bad" else []
        return summary

    monkeypatch.setattr("scripts.archive.run.synthesize_archive", record)
    return requests


def test_options_reach_the_request_and_a_package(asked: list[ArchiveRequest]) -> None:
    line = "synthesize --all --manifest m.csv -o out --to PD --format nifti --device cpu --engine ray --address auto"
    assert (
        main([*line.split(), "--shard", "2/3", "--workers", "4", "--retries", "0", "--accept-simulated", "--site", "s",
              "--no-mark", "--identifiers"])
        == 0
    )  # fmt: skip
    assert main(["synthesize", *arguments_of(asked[0], None)]) == 0
    assert main("synthesize --all --manifest m.csv -o out".split()) == 0
    expected = ArchiveRequest(
        *(Path("m.csv"), Path("out"), "PD", ("nifti",), "cpu", Lift(simulated=True), "ray", "auto", "2/3", 4),
        site=Path("s"),
        retries=0,
        show=Presentation(mark=False, identifiers=True),
    )
    assert asked == [expected, expected, ArchiveRequest(Path("m.csv"), Path("out"))]


def test_the_end_says_what_was_made_and_what_was_not(
    asked: list[ArchiveRequest], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesize", "--all", "--manifest", "m.csv", "-o", "good"]) == 0
    assert capsys.readouterr().out == "2 series made (4.0 a minute, devices busy 50 %), 1 finished before, in good\n"
    report = tmp_path / "report.json"
    assert main(["synthesize", "--all", "--manifest", "m.csv", "-o", "bad", "--json", str(report)]) == 11
    said = capsys.readouterr()
    assert "a/1.1 (line 4), failed after 3 attempts: no room; make some" in said.out
    assert "and 5 more in results.jsonl" in said.out
    assert said.err.splitlines() == [
        "kneesynth: 25 series were refused or failed; need each to be there; see results.jsonl"
    ]
    content = json.loads(report.read_text())
    assert (content["status"], content["exit_code"], len(content["failures"])) == ("incomplete", 11, 25)


@pytest.mark.parametrize(
    "words",
    [
        ["--manifest", "m.csv"],
        ["--all", "--manifest", "m.csv", "study"],
        ["--all", "--manifest", "m.csv", "--series", "1.1"],
        ["--all", "--manifest", "m.csv", "--reference-dicom", "d"],
        ["study", "--engine", "ray"],
        ["study", "--shard", "1/2"],
        ["study", "--workers", "2"],
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_is_a_usage_error(
    asked: list[ArchiveRequest], capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["synthesize", "-o", "out", *words]) == 2
    assert "--manifest" in capsys.readouterr().err and asked == []


def test_a_manifest_that_is_not_there_is_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", "--all", "--manifest", str(tmp_path / "m.csv"), "-o", str(tmp_path / "out")]) == 2
    assert "no readable manifest" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("address", "words"), [("127.0.0.1:1", "no Ray cluster answers there"), ("ray://here:1", "need host:port")]
)
def test_an_address_that_does_not_answer_is_told_at_once(tmp_path: Path, address: str, words: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed; it is an extra")
    (tmp_path / "m.csv").write_text("source\na\n")
    line = ["synthesize", "--all", "--manifest", str(tmp_path / "m.csv"), "-o", str(tmp_path / "out")]
    ended = subprocess.run(
        [sys.executable, "-m", "scripts", *line, "--engine", "ray", "--address", address],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert words in ended.stderr.splitlines()[-1] and ended.stdout == ""


def test_without_ray_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("scripts.archive.ray_engine.os.environ", {})
    (tmp_path / "m.csv").write_text("source\na\n")
    line = ["synthesize", "--all", "--manifest", str(tmp_path / "m.csv"), "-o", str(tmp_path / "out")]
    assert main([*line, "--engine", "ray"]) == 2
    assert "Ray is not installed" in capsys.readouterr().err


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[int, float], list[str]]:
    """A function that does so many steps at so many seconds each, and gives the lines that were told."""

    def work(steps: int, seconds: float) -> list[str]:
        now = 0.0
        monkeypatch.setattr("scripts.cli.progress.time.monotonic", lambda: now)
        caplog.set_level("INFO")
        tell = _lines()
        for done in range(steps + 1):
            now = seconds * done
            tell("lines", done, steps)
        return [record.getMessage() for record in caplog.records]

    return work


def test_progress_in_lines_has_rate_and_time_left(lines: Callable[[int, float], list[str]]) -> None:
    words = lines(400, 30.0)
    assert "lines: 100 of 400, 2.0/min, 2:30:00 left" in words
    assert words[-1] == "lines: 400 of 400"
    assert 130 < len(words) < 140  # a line in at most 90 seconds, and one for each quarter


def test_progress_of_quick_work_is_silent(lines: Callable[[int, float], list[str]]) -> None:
    assert lines(10, 0.1) == []
