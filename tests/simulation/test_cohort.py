# SPDX-License-Identifier: Apache-2.0
"""The cohort is made once, is the same however it is made, and never holds half a patient."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.errors import OutputError
from scripts.simulation import cohort
from scripts.simulation.cohort import Patient, read_maps, simulated_cohort
from scripts.simulation.study import StudyParameters, draw_study, map_study
from scripts.workers import results_of

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (2, 32, 32)


def make(folder: Path, studies: int = 1, section: str = "test", **options: Any) -> list[Patient]:
    return simulated_cohort(folder, section, studies, **{"shape": SHAPE, "workers": 1} | options)


def voxels(patient: Patient, name: str) -> torch.Tensor:
    found: torch.Tensor = torch.load(patient.folder / f"{name}.pt", weights_only=True)["voxels"]
    return found


def test_a_cohort_is_found_again_and_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", 2), make(tmp_path / "two", 2, workers=2)
    for a, b in zip(one, two, strict=True):
        assert a.drawn == b.drawn
        assert all(torch.equal(voxels(a, name), voxels(b, name)) for name in ("PD", "PDFS_clean", "labels"))
    before = (one[0].folder / "PD.pt").stat().st_mtime_ns
    make(tmp_path / "one", 2)
    assert (one[0].folder / "PD.pt").stat().st_mtime_ns == before


def test_what_is_kept_is_what_was_drawn(tmp_path: Path) -> None:
    (patient,) = make(tmp_path)
    parameters = StudyParameters.from_dict(patient.drawn["parameters"])
    assert parameters == draw_study(parameters.seed, shape=SHAPE)
    (maps,) = make(tmp_path, section="training", preset="randomised", scanned=False)
    parameters = StudyParameters.from_dict(maps.drawn["parameters"])
    found, seen = read_maps(maps.folder / cohort.MAPS)
    torch.testing.assert_close(found.dense(1), map_study(parameters).dense(1))
    assert seen.shares.shape[1] == seen.points.shape[1] == SHAPE[0]


def test_sections_presets_and_shapes_never_share_a_folder(tmp_path: Path) -> None:
    folders = [
        make(tmp_path)[0].folder,
        make(tmp_path, section="validation")[0].folder,
        make(tmp_path, seed=1)[0].folder,
        make(tmp_path, shape=(2, 32, 34))[0].folder,
        make(tmp_path, preset="randomised")[0].folder,
        make(tmp_path, scanned=False)[0].folder,
    ]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("harm", ["cut short", "emptied", "gone", "record broken", "record gone"])
def test_what_cannot_be_read_is_made_again(tmp_path: Path, harm: str) -> None:
    (patient,) = make(tmp_path)
    good, file, record = voxels(patient, "PDFS"), patient.folder / "PDFS.pt", patient.folder / "drawn.json"
    if harm == "cut short":
        file.write_bytes(file.read_bytes()[:-100])
    elif harm == "emptied":
        file.write_bytes(b"\0" * file.stat().st_size)
    elif harm == "gone":
        file.unlink()
    elif harm == "record broken":
        record.write_text(record.read_text()[:-20])
    else:
        record.unlink()
    (again,) = make(tmp_path)
    assert torch.equal(voxels(again, "PDFS"), good)
    assert json.loads(record.read_text()) == again.drawn


def test_a_full_disk_leaves_no_half_patient_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = torch.save, []

    def full(content: Any, path: Path) -> None:
        calls.append(path)
        if len(calls) == 3:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(content, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"No space left on device.*free some space"):
        make(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.name.startswith((".sim", "sim-"))] == []
    monkeypatch.undo()
    assert voxels(make(tmp_path)[0], "PD").shape == SHAPE


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from scripts.simulation.cohort import simulated_cohort

save = torch.save
def dies(content, path):
    save(content, path)
    if Path(path).name == "PDFS.pt":
        os.kill(os.getpid(), signal.SIGKILL)
torch.save = dies
simulated_cohort(sys.argv[1], "test", 1, shape=(2, 32, 32), workers=1)
"""


def test_a_kill_leaves_no_half_patient_and_the_next_run_clears_up(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    (root,) = (path for path in tmp_path.glob("*/studies"))
    left = [path.name for path in root.iterdir()]
    assert len(left) == 1 and left[0].startswith(".sim-03000000-")  # debris, and no patient
    (patient,) = make(tmp_path)
    assert [path.name for path in root.iterdir()] == [patient.folder.name]


def test_an_interrupt_ends_the_workers_and_keeps_what_is_whole(tmp_path: Path) -> None:
    import multiprocessing

    before = set(multiprocessing.active_children())
    knees = [cohort._Job(tmp_path / f"sim-{n}", n, SHAPE, "clinical", False) for n in range(6)]
    jobs = results_of(cohort._make_patient, knees, 2)
    next(jobs)
    workers = [child.pid for child in set(multiprocessing.active_children()) - before]
    assert len(workers) == 2
    with pytest.raises(KeyboardInterrupt):
        jobs.throw(KeyboardInterrupt)
    # By number: the pool's own thread waits for the same processes, and only one of us is told their end.
    until = time.monotonic() + 60
    while any(_runs(worker) for worker in workers if worker is not None):
        assert time.monotonic() < until
        time.sleep(0.1)
    whole = [path for path in tmp_path.glob("sim-*")]
    assert 1 <= len(whole) < 6
    assert all(cohort._is_whole(path) for path in whole)


LEFT_ALONE = """
import multiprocessing, os, signal, sys, threading, time
from pathlib import Path
from scripts.simulation.cohort import simulated_cohort

def die():
    while not list(Path(sys.argv[1]).rglob("sim-*")):
        time.sleep(0.05)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=die).start()
simulated_cohort(sys.argv[1], "test", 500, shape=(2, 32, 32), workers=2)
"""


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LEFT_ALONE, str(tmp_path)]
    # Workers hold its output open, so reading to the end waits for them.
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    workers = [int(number) for number in done.stdout.split()]
    assert len(workers) == 2
    assert not any(_runs(worker) for worker in workers)


def _runs(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize(
    ("options", "text"),
    [({"section": "holdout"}, "choose one of training"), ({"studies": 0}, "at least 1"), ({"preset": "x"}, "unknown")],
)
def test_what_is_no_cohort_is_refused(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make(tmp_path, **options)
