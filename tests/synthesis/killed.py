# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.synthesis.killed`: synthesis killed at random moments, and what it leaves looked at each time.

Half of the moments are drawn over the time that a run takes; the other half over its writes, since moving the files in,
where most can go wrong, takes only milliseconds. Each run is forked from a process that has imported everything.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom

from scripts.dicom.study import SimulatedSeries, write_simulated_study
from scripts.synthesis.planning import Request
from scripts.synthesis.run import synthesize
from scripts.synthesis.selection import Lift

FOREIGN = {"mine.txt": "mine", "notes.dcm": "no DICOM", "sub/0001.dcm": "mine too"}
"""Files of somebody else in the output folder."""

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")


@dataclass(frozen=True)
class Scene:
    """What is run, and into what."""

    exam: str
    out: str

    def request(self, folder: Path) -> Request:
        return Request(
            (folder / self.exam,), folder / "out", all_series=self.exam != "one", device="cpu",
            lift=Lift(force=True, simulated=True),
        )  # fmt: skip


SCENES = [Scene(exam, out) for exam, out in itertools.product(("one", "many"), ("absent", "foreign", "earlier"))]


def make_exams(folder: Path) -> None:
    """An exam of one series, one of three, and one that an earlier result is made of, which has more files."""
    for number, (name, planes, slices) in enumerate((("one", 1, 10), ("many", 3, 10), ("former", 3, 14)), start=1):
        axes = np.roll(np.eye(3), number, axis=0)
        series = []
        for plane in range(planes):
            affine = np.eye(4)
            affine[:3, :3] = np.roll(axes, plane, axis=1) @ np.diag([3.3, 0.5, 0.4])
            affine[:3, :3] *= np.sign(np.linalg.det(affine[:3, :3]))
            array = np.random.default_rng(10 * number + plane).random((slices, 20, 24), dtype=np.float32)
            series.append(SimulatedSeries(array, affine, "PD", "", 3.0, 0.03, 8, 3.0, False))
        write_simulated_study(folder / name, series, number)


def in_fork(run: Callable[[], object], until: Callable[[int], None] = lambda pid: None) -> int:
    """Run in a child, and do something to it meanwhile; give its status, negative where a signal ended it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    until(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def count_writes(act: Callable[[int], object]) -> None:
    """From now on, call with 1, 2, ... before each change that this process makes to a file system."""
    counter = itertools.count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES):
            act(next(counter))

    sys.addaudithook(hook)


def prepare(folder: Path, scene: Scene) -> None:
    """Put the output folder into the state that a scene starts from."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    if scene.out == "earlier":
        shutil.copytree(folder / "earlier", folder / "out")
    if scene.out != "absent":
        for name, text in FOREIGN.items():
            path = folder / "out" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def identity(out: Path) -> list[str] | None:
    """The UIDs of a result that is whole, in the order of its report; None where there is no report.

    Raises:
        AssertionError: the report lies beside an incomplete result.
    """
    if not (out / "report.json").exists():
        return None
    report = json.loads((out / "report.json").read_text())
    assert all((out / name).is_file() for name in report["files"]), "a listed file is missing"
    uids = []
    for entry in report["series"]:
        instances = [pydicom.dcmread(out / name) for name in entry["products"]["dicom"]]
        assert all(len(instance.PixelData) == 2 * 20 * 24 for instance in instances), "an instance is cut"
        assert [instance.InstanceNumber for instance in instances] == [*range(1, len(instances) + 1)]
        (uid,) = {str(instance.SeriesInstanceUID) for instance in instances}
        volume = nibabel.load(out / entry["products"]["nifti"])
        assert np.isfinite(volume.get_fdata()).all() and volume.shape[2] == len(instances)
        uids.append(uid)
    return uids


def check(folder: Path, scene: Scene, known: Mapping[str, list[str] | None], finished: bool) -> None:
    """Look at an output folder after a run.

    Args:
        folder: it and the exams.
        scene: what was run.
        known: UIDs of what each exam gives, and of the earlier result.
        finished: the run came to its end; else it was killed.

    Raises:
        AssertionError: something is not as it must be.
    """
    out = folder / "out"
    found = identity(out)
    allowed = [known[scene.exam]] if finished else [known[scene.exam], known[scene.out], None]
    assert found in allowed, f"not the result of one run: {found}"
    if scene.out != "absent":
        for name, text in FOREIGN.items():
            assert (out / name).read_text() == text, f"{name} was touched"
    if finished:
        files = json.loads((out / "report.json").read_text())["files"]
        foreign = [] if scene.out == "absent" else [Path(name).parts[0] for name in FOREIGN]
        assert sorted(p.name for p in out.iterdir()) == sorted([*files, "report.json", *foreign]), "debris in it"
        assert [p.name for p in folder.glob(".out*")] == [], "debris beside it"


class Killing:
    """The exams, what each gives when nothing happens, and how long and how many writes that takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, list[str] | None] = {"absent": None, "foreign": None}
        self.measured: dict[Scene, tuple[float, int]] = {}
        make_exams(folder)
        assert in_fork(lambda: self.run(Scene("former", "absent"))) == 0
        (folder / "out").rename(folder / "earlier")
        self.known["earlier"] = identity(folder / "earlier")
        for scene in SCENES:
            self.measure(scene)

    def run(self, scene: Scene) -> None:
        synthesize(scene.request(self.folder))

    def measure(self, scene: Scene) -> None:
        prepare(self.folder, scene)
        log = os.open(self.folder / "writes", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

        def counted() -> None:
            count_writes(lambda number: os.write(log, b"."))
            self.run(scene)

        started = time.monotonic()
        assert in_fork(counted) == 0
        os.close(log)
        self.measured[scene] = (time.monotonic() - started, (self.folder / "writes").stat().st_size)
        self.known.setdefault(scene.exam, identity(self.folder / "out"))
        check(self.folder, scene, self.known, finished=True)

    def kill(self, scene: Scene, by_time: bool, draw: random.Random) -> tuple[int, str]:
        """Kill one run; give its status and the moment in words."""
        prepare(self.folder, scene)
        seconds, writes = self.measured[scene]
        wait, step = draw.uniform(0, seconds), draw.randint(1, writes)

        def strike(pid: int) -> None:
            time.sleep(wait)
            os.kill(pid, signal.SIGKILL)

        def doomed() -> None:
            count_writes(lambda at: os.kill(os.getpid(), signal.SIGKILL) if at == step else None)
            self.run(scene)

        if by_time:
            return in_fork(lambda: self.run(scene), strike), f"after {wait:.2f} of {seconds:.2f} s"
        return in_fork(doomed), f"before write {step} of {writes}"

    def look(self, scene: Scene) -> None:
        """Look at what a killed run left, run again, and look again.

        Raises:
            AssertionError: something is not as it must be.
        """
        check(self.folder, scene, self.known, finished=False)
        assert in_fork(lambda: self.run(scene)) == 0, "the next run failed"
        check(self.folder, scene, self.known, finished=True)


def kill_at(moments: int, seed: int, folder: Path) -> list[str]:
    """Kill as many runs, and say what was wrong with what they left."""
    killing, draw, wrong, killed = Killing(folder), random.Random(seed), [], 0
    for number in range(moments):
        scene = SCENES[number // 2 % len(SCENES)]
        status, when = killing.kill(scene, number % 2 == 0, draw)
        killed += status == -signal.SIGKILL
        try:
            killing.look(scene)
        except AssertionError as error:
            wrong.append(f"{scene.exam} into {scene.out}, killed {when}: {error}")
    print(f"{killed} of {moments} runs killed, {len(wrong)} left something wrong")
    return wrong


def main() -> int:
    """Return 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.synthesis.killed", description=__doc__)
    parser.add_argument("--moments", type=int, default=50, help="how many runs to kill [50]")
    parser.add_argument("--seed", type=int, default=0, help="which moments [0]")
    arguments = parser.parse_args()
    import torch

    import scripts.synthesis.products  # noqa: F401
    from scripts.synthesis.bundle import load_model

    torch.set_num_threads(1)
    load_model("PDFS", "cpu")  # what a run imports is imported here once
    with tempfile.TemporaryDirectory(prefix="killed-") as scratch:
        wrong = kill_at(arguments.moments, arguments.seed, Path(scratch))
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
