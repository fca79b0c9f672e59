# SPDX-License-Identifier: Apache-2.0
"""What the Orthanc plugin does where things go wrong, with a stand-in; `test_orthanc_route` has the real Orthanc."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bundle" / "docs" / "routes" / "orthanc_plugin.py"


class Archive:
    """An Orthanc with one study of two acquired instances.

    Args:
        known: content of instances that it has already.
        room: how many it takes before it refuses.
    """

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.known: set[bytes] = set()
        self.room, self.log = 100, list[str]()

    def get(self, url: str) -> bytes:
        if url.endswith("/series"):
            return json.dumps([{"Instances": ["a", "b"], "MainDicomTags": {"Modality": "MR"}}]).encode()
        if "/content/" in url:
            raise KeyError(url)
        return b"pixels"

    def post(self, url: str, body: bytes) -> bytes:
        if len(self.stored) >= self.room:
            raise RuntimeError("no room")
        new = body not in self.known
        self.stored[body.decode()] = body
        return json.dumps({"Status": "Success" if new else "AlreadyStored", "ID": body.decode()}).encode()

    def delete(self, url: str) -> None:
        del self.stored[url.rsplit("/", 1)[1]]

    def module(self, command: list[str]) -> ModuleType:
        made = ModuleType("orthanc")
        made.__dict__.update(
            GetConfiguration=lambda: json.dumps({"KneeSynth": {"Command": command, "Arguments": []}}),
            ChangeType=SimpleNamespace(STABLE_STUDY=9), OrthancException=KeyError, RestApiGet=self.get,
            RestApiPost=self.post, RestApiDelete=self.delete, RegisterOnChangeCallback=lambda callback: None,
            LogWarning=self.log.append, LogError=self.log.append,
        )  # fmt: skip
        return made


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def plugin(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A function that loads the plugin with a shell script in the program's place, which leaves a mark of each call."""

    def load(script: str) -> Any:
        program = tmp_path / "program"
        program.write_text(f'#!/bin/sh\necho called >> "{tmp_path}/calls"\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setitem(sys.modules, "orthanc", archive.module([str(program)]))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        spec = importlib.util.spec_from_file_location("orthanc_plugin", SCRIPT)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


THREE = 'mkdir "$4"; for n in 1 2 3; do printf s$n > "$4/000$n.dcm"; done'


def calls(folder: Path) -> int:
    return (folder / "calls").read_text().count("called")


def test_a_study_is_completed_once(plugin: Callable[[str], Any], archive: Archive, tmp_path: Path) -> None:
    module = plugin(THREE)
    for _ in range(3):
        module.complete("study")
    assert sorted(archive.stored) == ["s1", "s2", "s3"] and calls(tmp_path) == 1
    assert not list(tmp_path.glob("kneesynth-*"))


@pytest.mark.parametrize(("code", "attempts"), [(3, 1), (6, 1), (1, 2), (8, 2), (9, 2)])
def test_what_may_pass_is_tried_again_and_a_refusal_is_not(
    plugin: Callable[[str], Any], archive: Archive, tmp_path: Path, code: int, attempts: int
) -> None:
    module = plugin(f"echo 'kneesynth: why' >&2; exit {code}")
    for _ in range(2):
        module.complete("study")
    assert calls(tmp_path) == attempts and not archive.stored
    assert f"study: {code}: ['kneesynth: why']" in archive.log[0]


def test_half_a_series_is_taken_back_and_stored_whole_later(
    plugin: Callable[[str], Any], archive: Archive, tmp_path: Path
) -> None:
    module = plugin(THREE)
    archive.known, archive.room = {b"s1"}, 2
    with pytest.raises(RuntimeError, match="no room"):
        module.complete("study")
    assert sorted(archive.stored) == ["s1"]  # which was there before
    archive.room = 100
    module.complete("study")
    assert sorted(archive.stored) == ["s1", "s2", "s3"]


def test_leftovers_and_a_program_that_is_not_there_are_seen_to_at_the_start(
    plugin: Callable[[str], Any], archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kneesynth-orthanc-old" / "in").mkdir(parents=True)
    (tmp_path / "kneesynth-of-another").mkdir()
    plugin(THREE)
    assert [path.name for path in tmp_path.glob("kneesynth-*")] == ["kneesynth-of-another"]
    assert archive.log == []
    monkeypatch.setattr("shutil.which", lambda name: None)
    plugin(THREE)
    assert "no such program; correct KneeSynth.Command" in archive.log[0]
