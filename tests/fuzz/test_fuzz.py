# SPDX-License-Identifier: Apache-2.0
"""Some hundred broken studies, and proof that the watch over them sees what it is there for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.fuzz.elements import parse
from tests.fuzz.jail import MEMORY
from tests.fuzz.mutations import mutated
from tests.fuzz.runner import Runner
from tests.fuzz.seeds import PATIENT, Study, make_studies

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    return make_studies()


def say(text: str) -> None:
    os.write(2, text.encode())


def well(arguments: Sequence[str]) -> int:
    """What is beyond reproach: a refusal in one line."""
    if arguments[0] == "inspect":
        Path("out.json").write_text("[]")
        return 0
    say("kneesynth: no; need another; take one\n")
    return 4


def _bad(what: Callable[[], int | None]) -> Callable[[Sequence[str]], int]:
    def program(arguments: Sequence[str]) -> int:
        code = None if arguments[0] == "inspect" else what()
        return well(arguments) if code is None else code

    return program


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _endless() -> None:
    while True:
        pass


def _hungry() -> None:
    bytearray(2 * MEMORY)


def _fault() -> int:
    say("kneesynth: unexpected\n")
    return 1


def _leftover() -> None:
    Path("out").mkdir()
    Path("out/0001.dcm").touch()


def _not_json() -> int:
    Path("out").mkdir()
    Path("out/report.json").write_text('{"spacing": NaN}')
    return 0


BAD: list[tuple[str, Callable[[], int | None], str]] = [
    ("exit code", _fault, "exit code 1"),
    ("file outside", lambda: (Path("..") / "elsewhere").write_text("x") and None, "open"),
    ("folder outside", lambda: Path("../folder").mkdir(), "os.mkdir"),
    ("changed input", lambda: next(Path("in").iterdir()).unlink(), "os.remove"),
    ("another program", lambda: subprocess.run(["true"], check=False) and None, "subprocess.Popen"),
    ("output of a refusal", _leftover, "although it was refused"),
    ("no JSON", _not_json, "NaN is no JSON"),
    ("traceback", lambda: say("Traceback (most recent call last):\n"), "a traceback"),
    ("two messages", lambda: say("kneesynth: one\n"), "2 messages"),
    ("noise", lambda: say("WARNING: SOI\n"), "noise on stderr"),
    ("control character", lambda: say(" \x1b[2J\n"), "control character"),
    ("patient", lambda: say(f" {PATIENT}\n"), "the patient is named"),
    ("endless", _endless, "no end after"),
    ("memory", _hungry, "MemoryError came out"),
    ("death", _die, "the process died"),
    ("exit", lambda: sys.exit(0), "SystemExit came out"),
]


@pytest.mark.parametrize(("name", "what", "word"), BAD, ids=[case[0] for case in BAD])
def test_the_watch_sees(
    tmp_path: Path, studies: dict[str, Study], name: str, what: Callable[[], int | None], word: str
) -> None:
    with Runner(tmp_path / "jail", _bad(what), seconds=0.5) as runner:
        outcome = runner.run(studies["RLE"])
    assert [fault for fault in outcome.faults if word in fault], outcome.faults


def test_what_is_well_is_left_alone_and_a_lost_process_replaced(tmp_path: Path, studies: dict[str, Study]) -> None:
    def moody(arguments: Sequence[str]) -> int:
        if Path("in/die").exists():
            _die()
        return well(arguments)

    with Runner(tmp_path / "jail", moody) as runner:
        assert runner.run(studies["RLE"]).faults == []
        deadly = studies["RLE"][0].copy()
        deadly.name = "die"
        assert len(runner.run([deadly]).faults) == 1
        outcome = runner.run(studies["RLE"])
        assert (outcome.faults, outcome.codes, runner.lost) == ([], {"inspect": 0, "synthesize": 4}, 1)


def test_parsing_and_encoding_lose_nothing(studies: dict[str, Study]) -> None:
    import io

    import pydicom

    for name, study in studies.items():
        once = study[0].encode()
        again = parse("x", once)
        assert again.encode() == once, name
        dataset = pydicom.dcmread(io.BytesIO(once))
        assert {(e.tag[0] << 16) + e.tag[1] for e in study[0].elements} == set(dataset.keys()), name


def test_an_input_is_a_function_of_its_number(studies: dict[str, Study]) -> None:
    def made(index: int) -> tuple[str, list[bytes]]:
        words, study = mutated(studies, 3, index)
        return words, [file.encode() for file in study]

    before = [file.encode() for study in studies.values() for file in study]
    first = [made(index) for index in range(60)]
    assert [made(index) for index in range(60)] == first
    assert [file.encode() for study in studies.values() for file in study] == before
    assert len({words for words, _ in first}) > 30


@pytest.fixture
def memory_disk() -> Iterator[str]:
    """Where the jail lies: on a disk each output folder would be synchronised to it."""
    yield "/dev/shm" if os.access("/dev/shm", os.W_OK) else os.environ.get("TMPDIR", "/tmp")


@pytest.mark.slow
def test_five_hundred_broken_studies(memory_disk: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--inputs", "500", "--seed", "7"],
        cwd=ROOT, env=os.environ | {"TMPDIR": memory_disk}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "500 inputs of seed 7, 0 with findings" in done.stdout
