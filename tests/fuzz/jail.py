# SPDX-License-Identifier: Apache-2.0
"""One process that runs the verbs on one study after another, and says what they did that they may not do.

The process is forked from one that has imported everything, so that a lost one is replaced in no time. Python's audit
events tell of each file that is written, wherever; a limit on the address space ends whatever takes too much memory.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fuzz.elements import File
from tests.fuzz.seeds import PATIENT

MEMORY = 2**30
"""Bytes that a study of a few kilobytes may take beyond what the program takes idle."""

LONGEST_LINE = 600

#: What is run: a command line to an exit code.
Program = Callable[[Sequence[str]], int]

# inspect: done, or nothing there. synthesize: done, or a refusal of the input. 1 is a fault of the program; 2, 7, 8 and
# 9 blame the user, the weights, the disk or the memory for what the input did.
ALLOWED = {"inspect": (0, 3), "synthesize": (0, 3, 4, 5, 6)}

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NEVER = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "socket.bind")
_CHANGES = "os.symlink os.truncate os.chmod os.chown os.utime os.setxattr os.removexattr".split()


@dataclass
class Outcome:
    """What came of one study: exit code of each verb, and a sentence for each thing that must not be."""

    codes: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


@dataclass
class _Watch:
    """What the audit hook saw; it is off outside of a run."""

    allowed: tuple[str, ...] = ()
    on: bool = False
    seen: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            self._check(event, arguments[0], -1)
        elif event == "os.mkdir":
            # One that is there already stays as it is: `exist_ok`.
            if not Path(_resolved(arguments[0], arguments[2])).is_dir():
                self._check(event, arguments[0], arguments[2])
        elif event in ("os.rename", "os.link"):
            self._check(event, arguments[0], arguments[2])
            self._check(event, arguments[1], arguments[3])
        elif event in ("os.remove", "os.rmdir"):
            self._check(event, arguments[0], arguments[1])
        elif event in _CHANGES:
            self._check(event, arguments[0], -1)
        elif event in _NEVER and not (event == "subprocess.Popen" and arguments[0] == sys.executable):
            self.seen.append(f"{event} {arguments[0]!r}")

    def _check(self, event: str, path: Any, folder: int) -> None:
        if isinstance(path, (str, bytes, os.PathLike)):
            name = _resolved(path, folder)
            if name != "/dev/null" and not name.startswith(self.allowed):
                self.seen.append(f"{event} {name!r}")


def _resolved(path: str | bytes | os.PathLike[Any], folder: int) -> str:
    """Give the true path of one that is relative to an open folder, or to the working one where that is -1."""
    return os.path.realpath((Path(f"/proc/self/fd/{folder}") if folder >= 0 else Path()) / os.fsdecode(path))


def serve(pipe: Connection, folder: Path, program: Program) -> None:
    """Answer each study that comes through the pipe with its `Outcome`, in a folder that is made for this."""
    folder.mkdir(parents=True)
    (folder / "work").mkdir()
    os.chdir(folder / "work")
    errors = (folder / "stderr").open("w+", encoding="utf-8", errors="surrogateescape")
    os.dup2(errors.fileno(), 2)  # decoders speak past Python
    watch = _Watch((f"{folder}/work/out", f"{folder}/work/.out.partial-"))
    sys.addaudithook(watch)
    taken = _address_space()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            study: list[File] = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(study, errors, watch, program))


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def place(study: Sequence[File], folder: Path) -> None:
    """Write a study; two files of one name are one."""
    for file in study:
        path = folder / file.name
        if not any(parent.is_file() for parent in path.parents) and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.encode())


def _outcome(study: list[File], errors: io.TextIOWrapper, watch: _Watch, program: Program) -> Outcome:
    outcome = Outcome()
    shutil.rmtree("in", ignore_errors=True)
    place(study, Path("in"))
    before = _listing()
    _run(outcome, ["inspect", "in", "--json", "out.json"], errors, watch, program)
    if outcome.codes.get("inspect") == 0:
        _check_json(outcome, Path("out.json"))
    Path("out.json").unlink(missing_ok=True)
    synthesize = ["synthesize", "in", "-o", "out", "--accept-simulated", "--force", "--all"]
    _run(outcome, synthesize, errors, watch, program)
    if outcome.codes.get("synthesize") == 0:
        _check_json(outcome, Path("out/report.json"))
        told = [page.name for page in Path("out").glob("report*") if PATIENT in page.read_text(encoding="utf-8")]
        outcome.faults += [f"{name} names the patient" for name in told]
    elif Path("out").exists():
        outcome.faults.append("synthesize: an output folder although it was refused")
    shutil.rmtree("out", ignore_errors=True)
    if _listing() != before:
        outcome.faults.append(f"files were changed or left: {sorted({*_listing()} ^ {*before})}")
    return outcome


def _listing() -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}


def _run(outcome: Outcome, arguments: list[str], errors: io.TextIOWrapper, watch: _Watch, program: Program) -> None:
    verb, spoken = arguments[0], io.StringIO()
    errors.seek(0)
    errors.truncate()
    watch.seen, watch.on = [], True
    try:
        with redirect_stdout(spoken):
            code = program(arguments)
    except BaseException as error:
        watch.on = False
        outcome.faults.append(f"{verb}: {type(error).__name__} came out")
        return
    watch.on = False
    sys.stderr.flush()
    os.lseek(2, 0, os.SEEK_SET)
    said = errors.read()
    outcome.codes[verb] = code
    outcome.faults += [f"{verb}: {problem}" for problem in _problems(verb, code, said, spoken.getvalue())]
    outcome.faults += [f"{verb}: {event}" for event in watch.seen]
    if threading.active_count() > 1:
        outcome.faults.append(f"{verb}: {threading.active_count() - 1} threads are left")


def _problems(verb: str, code: int, said: str, spoken: str) -> list[str]:
    found = []
    lines = [line for line in said.split("\n") if line]
    messages = [line for line in lines if line.startswith("kneesynth: ")]
    if code not in ALLOWED[verb]:
        found.append(f"exit code {code} ({messages[-1] if messages else 'no message'})")
    if PATIENT in said:
        found.append("the patient is named on stderr")
    if "Traceback" in said:
        found.append("a traceback")
    if code and (len(messages) != 1 or messages[0] != lines[-1] or len(messages[0]) > LONGEST_LINE):
        found.append(f"{len(messages)} messages, or not the last line, or too long: {said[-300:]!r}")
    # Above the message there may be a table of stacks; all else is somebody's noise.
    noise = [
        line for line in lines if line not in messages and not line.startswith(" ") and not re.match(r"[\dia]", line)
    ]
    if noise:
        found.append(f"noise on stderr: {noise[0][:200]!r}")
    control = _CONTROL.search(said) or _CONTROL.search(spoken)
    if control:
        found.append(f"control character {control.group()!r} on the terminal")
    return found


def _check_json(outcome: Outcome, path: Path) -> None:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    try:
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (OSError, ValueError) as error:
        outcome.faults.append(f"{path.name}: {error}")
