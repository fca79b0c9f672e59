# SPDX-License-Identifier: Apache-2.0
"""An archive on a Ray cluster of two nodes here: a worker killed, nothing missing, nothing twice, memory flat."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.archive.processes import listening_elsewhere, marked, memory_of, title_of

pytest.importorskip("ray", reason="Ray is not installed; it is an extra")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

ROOT = Path(__file__).resolve().parents[2]
SERIES, STUDIES = 200, 20  # of them, DICOM
SHAPE = (128, 128, 16)
MARK = "KNEESYNTH_TEST_CLUSTER"

# Two nodes of one processor each, until stdin closes. Told that there is none, Ray stays on the loopback interface.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables for everything that a test starts; whatever has them at its end is ended and told of."""
    scratch = Path("/tmp") / f"knee-ray-{os.getpid()}"  # paths of sockets must be short
    scratch.mkdir()
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "KNEESYNTH"))}
    mine |= {"OMP_NUM_THREADS": "1", "RAY_TMPDIR": str(scratch), "TMPDIR": str(scratch), MARK: mark}
    mine |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    mine |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64}
    try:
        yield mine
    finally:
        give_up = time.monotonic() + 20
        while (left := marked(MARK, mark)) and time.monotonic() < give_up:
            time.sleep(0.5)
        titles = [title_of(pid)[:80] for pid in left]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(scratch, ignore_errors=True)
        assert titles == []


@pytest.fixture
def cluster(environment: dict[str, str]) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.communicate()


@pytest.fixture(scope="module")
def program(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the small network with the code beside it, as in a package: its command line uses its weights."""
    folder = tmp_path_factory.mktemp("program")
    shutil.copytree(small_bundle, folder, dirs_exist_ok=True)
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _command(manifest: Path, *words: str) -> list[str]:
    out = str(manifest.parent / "out")
    common = [
        "--all",
        "--manifest",
        str(manifest),
        "-o",
        out,
        "--to",
        "PDFS",
        "--accept-simulated",
        "--force",
    ]  # volumes of noise
    return [sys.executable, "-m", "scripts", "synthesize", *common, "--engine", "ray", *words]


def _records(manifest: Path) -> list[dict[str, Any]]:
    path = manifest.parent / "out" / "results.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


class Watch:
    """Looks at a run from outside: kills one of its workers, and notes everybody's memory as it goes on."""

    def __init__(self, manifest: Path, mark: str) -> None:
        self.manifest, self.mark = manifest, mark
        self.memory: list[tuple[int, dict[int, int]]] = []  # series done by then, bytes by process
        self.titles: dict[int, str] = {}
        self.elsewhere: set[str] = set()
        self.stopped: tuple[int, float] | None = None
        self.killed = 0

    def look(self) -> None:
        done = [record for record in _records(self.manifest) if record["status"] == "done"]
        pids = marked(MARK, self.mark)
        self.memory.append((len(done), {pid: memory_of(pid) for pid in pids}))
        self.titles |= {pid: title_of(pid)[-60:] for pid in pids}
        self.elsewhere |= set(listening_elsewhere(pids))
        if self.stopped is None and len(done) >= SERIES // 5:
            # Held first, so that it has series when it dies, however quick it is.
            pid = int(done[-1]["worker"].rpartition(":")[2])
            os.kill(pid, signal.SIGSTOP)
            self.stopped = pid, time.monotonic()
        elif self.stopped is not None and not self.killed and time.monotonic() - self.stopped[1] > 5:
            self.killed = self.stopped[0]
            os.kill(self.killed, signal.SIGKILL)

    def growth(self) -> dict[str, int]:
        """Bytes that each process has more at most in the last fifth than before half; those from before the kill."""
        before = [each for done, each in self.memory if SERIES // 5 <= done < SERIES // 2]
        last = [each for done, each in self.memory if done >= 4 * SERIES // 5]
        stayed = [pid for pid in before[0] if pid in last[0]]
        return {
            f"{pid} {self.titles[pid]}": max(each.get(pid, 0) for each in last) - max(each[pid] for each in before)
            for pid in stayed
        }


def test_two_hundred_series_with_a_worker_killed(
    cluster: str,
    environment: dict[str, str],
    program: Path,
    series_list: Callable[..., Path],
    knee_series: Callable[..., list[Path]],
) -> None:
    manifest = series_list(SERIES - STUDIES, SHAPE)
    for number in range(1, STUDIES + 1):
        knee_series(f"study{number}", number=number, seed=number)
    with manifest.open("a") as file:
        file.writelines(f"study{number}\n" for number in range(1, STUDIES + 1))

    watch = Watch(manifest, environment[MARK])
    command = _command(manifest, "--address", cluster)
    with subprocess.Popen(command, cwd=program, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            watch.look()
            time.sleep(0.5)
        assert process.stdout is not None
        said = process.stdout.read()
    assert process.returncode == 0 and said.startswith("200 series made") and said.count("\n") == 1, said
    assert watch.killed, "the worker was never killed"

    records = _records(manifest)
    done = Counter(record["series"] for record in records if record["status"] == "done")
    volumes = [f"series/k{number:03d}" for number in range(SERIES - STUDIES)]
    assert done == Counter([*volumes, *(f"study{number}/1.1" for number in range(1, STUDIES + 1))])
    assert len(list((manifest.parent / "out").rglob("report.json"))) == SERIES
    # What it was at when it died was tried again; what it had not begun is no attempt.
    others = [record for record in records if record["status"] != "done"]
    assert [(record["status"], record["exit_code"]) for record in others] == [("retry", 1)]
    assert len({record["worker"] for record in records if record["worker"]}) >= 2
    assert watch.elsewhere == set()

    # A series is 1 MB in and 1 MB out. If whoever reads, works or writes kept one of the two, half of the second
    # hundred would add 50 MB to a process, and all of it 100 MB to the store; allocators alone move by some 10 MB.
    growth = watch.growth()
    print(json.dumps(growth, indent=1))
    assert len([title for title in growth if "ray::" in title]) >= 3
    assert max(growth.values()) < 25e6, growth

    again = subprocess.run(command, cwd=program, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0 and "Nothing to do: all 200 series" in again.stdout
    assert _records(manifest) == records


def test_without_an_address_the_processes_are_the_runs_own(
    environment: dict[str, str], program: Path, series_list: Callable[..., Path]
) -> None:
    manifest = series_list(3)
    watch = Watch(manifest, environment[MARK])
    for name in ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        del environment[name]
    command = _command(manifest, "--workers", "1", "--json", "-")
    with subprocess.Popen(command, cwd=program, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            watch.look()
            time.sleep(0.5)
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
    assert (report["status"], report["done"]) == ("done", 3)
    assert max(len(each) for _, each in watch.memory) > 4 and watch.elsewhere == set()
    assert list(Path(environment["TMPDIR"]).iterdir()) == []


def test_an_open_port_that_is_not_ray_is_told_in_time(
    environment: dict[str, str], program: Path, series_list: Callable[..., Path]
) -> None:
    import socket

    manifest = series_list(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        impatient = (
            "import sys, scripts.archive.ray_engine as engine; engine._ANSWER = 8; "
            "from scripts.cli.app import main; sys.exit(main(sys.argv[1:]))"
        )
        words = _command(manifest, "--address", address)[3:]
        ended = subprocess.run(
            [sys.executable, "-c", impatient, *words],
            cwd=program, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert "something answers, but not as a Ray cluster" in ended.stderr.splitlines()[-1]
    assert not (manifest.parent / "out" / "results.jsonl").exists()
