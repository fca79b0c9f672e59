# SPDX-License-Identifier: Apache-2.0
"""What mercure hands in and reads back: settings in task.json, the ending in result.json."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from scripts.cli.app import main
from scripts.errors import GateError
from scripts.synthesis.planning import Request

Series = Callable[..., list[Path]]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Input and output folder as mercure mounts and names them."""
    places = tmp_path / "data", tmp_path / "output"
    for place, name in zip(places, ("MERCURE_IN_DIR", "MERCURE_OUT_DIR"), strict=True):
        place.mkdir()
        monkeypatch.setenv(name, str(place))
    return places


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Requests that reach synthesis, which makes nothing."""
    requests: list[Request] = []

    def take(request: Request, *_: object) -> dict[str, Any]:
        requests.append(request)
        return {"series": []}

    monkeypatch.setattr("scripts.synthesis.run.synthesize", take)
    return requests


def task(folder: Path, settings: Any, **more: Any) -> None:
    """A task file in the shape that mercure writes, with this module's settings."""
    process = {"module_name": "kneesynth", "module_config": {"docker_tag": "x"}, "settings": settings} | more
    (folder / "task.json").write_text(json.dumps({"id": "1", "info": {}, "dispatch": {}, "process": process}))


def result(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content


def test_settings_of_the_task_choose(folders: tuple[Path, Path], asked: list[Request]) -> None:
    source, _ = folders
    task(source, {"to": "PD", "all": True, "plane": ["coronal", "axial"], "match": "knee", "format": "dicom"})
    assert main(["synthesize"]) == 0
    (request,) = asked
    assert (request.target, request.all_series, request.formats) == ("PD", True, ("dicom",))
    assert (request.only.planes, request.only.match) == (("coronal", "axial"), "knee")


@pytest.mark.parametrize("text", ['{"process": {"settings": {"to": "PD"}}}', "no JSON"])
def test_in_a_folder_that_a_person_names_it_is_a_file_like_any_other(
    tmp_path: Path, asked: list[Request], text: str
) -> None:
    (tmp_path / "task.json").write_text(text)
    assert main(["synthesize", str(tmp_path), "-o", "x"]) == 0
    assert asked[0].target is None


def test_the_command_line_wins_over_the_task(folders: tuple[Path, Path], asked: list[Request]) -> None:
    task(folders[0], {"to": "PD", "all": True, "plane": "coronal", "match": "knee"})
    assert main("synthesize --to PDFS --plane sagittal --match other".split()) == 0
    assert main("synthesize --series 1.1".split()) == 0
    assert (asked[0].target, asked[0].only.planes, asked[0].only.match) == ("PDFS", ("sagittal",), "other")
    assert asked[1].series == "1.1" and not asked[1].only and not asked[1].all_series


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"plain": "sagittal"}, "unknown setting 'plain'; need some of to, all, plane, match, format"),
        ({"force": True}, "unknown setting 'force'"),
        ({"accept_simulated": True}, "unknown setting 'accept_simulated'"),
        ({"all": "yes"}, "need true or false"),
        ({"plane": {"a": 1}}, "need text or a list of texts"),
        ({"plane": [1]}, "need text or a list of texts"),
        ({"to": ["PD"]}, "need text"),
        ({"plane": "oblique"}, "--plane oblique: unknown"),
        ({"to": "T2"}, "--to T2: unknown"),
        (["all"], "no settings of one module"),
    ],
    ids=str,
)
def test_settings_that_say_nothing_are_refused(
    folders: tuple[Path, Path], settings: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    task(folders[0], settings)
    assert main(["synthesize"]) == 2
    assert words in capsys.readouterr().err
    assert result(folders[1])["exit_code"] == 2


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00"], ids=["empty", "cut", "deep", "binary"])
def test_a_task_that_is_no_json_is_refused(
    folders: tuple[Path, Path], asked: list[Request], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders[0] / "task.json").write_text(text)
    assert main(["synthesize"]) == 2
    assert "task.json: not JSON" in capsys.readouterr().err and not asked


@pytest.mark.parametrize(
    "content", [{}, [], {"process": None}, {"process": {}}, {"process": {"settings": None}}], ids=str
)
def test_a_task_without_settings_changes_nothing(
    folders: tuple[Path, Path], asked: list[Request], content: Any
) -> None:
    (folders[0] / "task.json").write_text(json.dumps(content))
    assert main(["synthesize"]) == 0
    assert asked[0].target is None and not asked[0].all_series and not asked[0].only


def test_a_whole_study_in_mercures_folder(
    knee_exam: Path, random_bundle: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folders
    for number, file in enumerate(sorted(knee_exam.rglob("*.dcm"))):
        shutil.copy(file, source / f"2.25.77{file.parent.name}#2.25.{number}.dcm")
        (source / f"2.25.77{file.parent.name}#2.25.{number}.tags").write_text("{}")
    task(source, {"all": True, "format": "dicom"})
    monkeypatch.setattr("scripts.synthesis.bundle.default_root", lambda: random_bundle)
    assert main(["synthesize"]) == 0
    slices, pages = [f"{n:04d}.dcm" for n in range(1, 21)], ["summary_4.1.dcm", "summary_5.1.dcm"]
    assert [path.name for path in sorted(out.glob("*.dcm"))] == slices + pages
    told = result(out)
    assert (told["status"], told["exit_code"]) == ("done", 0)
    notification = told["__mercure_notification"]
    assert notification["text"].startswith("2 series made: PDFS from stack ") and not notification["requested"]
    assert "Skipped: stack 2.1: its acquired PDFS is there (stack 3.1)" in notification["text"]
    assert {one["stack"] for one in told["input"]} == {f"{n}.1" for n in range(1, 7)}
    assert not [word for word in ("NOBODY", "12345", "2.25.", "PD_axial") if word in json.dumps(told)]


def test_a_refusal_leaves_its_reason_and_no_names(
    knee_series: Series, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = folders
    files = knee_series(acquired=True, description="HOUSE")
    for number, file in enumerate(files):
        file.rename(source / f"MUELLER_ANNA_{number}.dcm")
    odd = pydicom.dcmread(source / "MUELLER_ANNA_3.dcm")
    odd.Rows, odd.PixelData = odd.Rows - 2, odd.PixelData[: -4 * odd.Columns]
    odd.save_as(source / "MUELLER_ANNA_3.dcm")
    assert main(["synthesize"]) == 5
    assert "MUELLER_ANNA_3.dcm" in capsys.readouterr().err  # whoever looks after the machine finds the file
    told = result(out)
    assert (told["status"], told["exit_code"]) == ("refused", 5)
    assert told["__mercure_notification"]["requested"] and told["message"] in told["__mercure_notification"]["text"]
    assert "; need" in told["message"]
    assert not [word for word in ("MUELLER", "NOBODY", "12345", "HOUSE") if word in json.dumps(told)]
    assert [path.name for path in out.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (GateError("stack 1.1: it is a localiser; need a knee; look"), 6, "localiser"),
        (MemoryError(), 9, "out of memory"),
        (ZeroDivisionError("NAME^PATIENT"), 1, "unexpected ZeroDivisionError"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["refusal", "memory", "unforeseen", "interrupt"],
)
def test_every_ending_is_told(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    (folders[1] / "result.json").write_text('{"status": "done"}')
    monkeypatch.setattr("scripts.synthesis.run.synthesize", fail)
    assert main(["synthesize"]) == code
    told = result(folders[1])
    assert told["status"] == "refused" and words in told["message"] and "PATIENT" not in json.dumps(told)
    assert told["exit_code"] == code


def test_a_kill_leaves_no_result_of_a_former_run(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (folders[1] / "result.json").write_text('{"status": "done"}')
    seen: list[bool] = []

    def look(*arguments: object) -> dict[str, Any]:
        seen.append((folders[1] / "result.json").exists())
        return {"series": []}

    monkeypatch.setattr("scripts.synthesis.run.synthesize", look)
    assert main(["synthesize"]) == 0
    assert seen == [False]


@pytest.mark.parametrize("line", [["--plnae", "sagittal"], ["--retries", "x"]], ids=str)
def test_a_command_line_that_cannot_be_understood_is_told_too(folders: tuple[Path, Path], line: list[str]) -> None:
    (folders[1] / "result.json").write_text('{"status": "done"}')
    assert main(["synthesize", *line]) == 2
    assert (result(folders[1])["status"], result(folders[1])["exit_code"]) == ("refused", 2)


def test_what_ends_the_container_is_told(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr("scripts.synthesis.run.synthesize", end)
    assert main(["synthesize"]) == 130
    assert result(folders[1])["exit_code"] == 130
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_no_result_where_a_person_named_the_folder(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesize", "-o", str(tmp_path / "mine")]) == 3
    assert not (tmp_path / "mine").exists() and not list(folders[1].iterdir())


def test_an_output_folder_that_cannot_be_written_keeps_its_own_code(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folders[1].rmdir()
    folders[1].write_text("a file")
    assert main(["synthesize"]) == 3
    assert folders[1].read_text() == "a file"
