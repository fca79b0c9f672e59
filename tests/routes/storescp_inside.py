# SPDX-License-Identifier: Apache-2.0
"""A scanner sends a study to the listener, which sends what it lacks to an archive; `test_storescp_route` runs this."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pydicom

ROOT = Path(__file__).resolve().parents[2]
LISTENER, ARCHIVE = "11112", "11113"


def wait_for(what: Callable[[], bool], seconds: float, log: Path) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.5)


def send(folder: Path) -> None:
    command = ["storescu", "--call", "KNEESYNTH", "+sd", "+r", "127.0.0.1", LISTENER, folder]
    for _ in range(20):  # until it listens
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.5)
    raise AssertionError("nothing could be sent")


def test_a_study_goes_in_and_its_derived_series_comes_out(
    knee_exam: Path, kneesynth: list[str], tmp_path: Path
) -> None:
    archive, temporary, log = tmp_path / "archive", tmp_path / "temporary", tmp_path / "log.txt"
    for folder in (archive, temporary, tmp_path / "bin"):
        folder.mkdir()
    program = tmp_path / "bin" / "kneesynth"
    program.write_text(f'#!/bin/sh\ncd "{ROOT}" && exec {" ".join(kneesynth)} "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}", "TMPDIR": str(temporary)}
    script = ROOT / "bundle" / "docs" / "routes" / "storescp.sh"
    with log.open("wb") as told:
        servers = [
            subprocess.Popen(["storescp", "-od", archive, ARCHIVE], stdout=told, stderr=told),
            subprocess.Popen(
                [script, LISTENER, "127.0.0.1", ARCHIVE, "--plane", "coronal"],
                env=environment | {"QUIET_SECONDS": "2", "OMP_NUM_THREADS": "1"}, stdout=told, stderr=told,
            ),
        ]  # fmt: skip
    try:
        send(knee_exam)
        wait_for(lambda: len(list(archive.iterdir())) == 11, 120, log)
        made = [pydicom.dcmread(file) for file in archive.iterdir()]
        assert {dataset.SyntheticData for dataset in made} == {"YES"}
        slices = [dataset for dataset in made if dataset.Modality == "MR"]  # the other is the summary page
        assert len(slices) == 10 and len({dataset.SeriesInstanceUID for dataset in slices}) == 1
        coronal = pydicom.dcmread(next((knee_exam / "PD_coronal").iterdir()))
        assert slices[0].ReferencedSeriesSequence[0].SeriesInstanceUID == coronal.SeriesInstanceUID

        # An archive that sends back what it got: refused, and nothing new goes out.
        received = {file.name: file.stat().st_mtime_ns for file in archive.iterdir()}
        send(archive)
        wait_for(lambda: "kneesynth: " in log.read_text(), 120, log)
        wait_for(lambda: not list(temporary.glob("*/study_*")), 30, log)
        assert {file.name: file.stat().st_mtime_ns for file in archive.iterdir()} == received
        assert not [word for word in ("NOBODY", "12345") if word in log.read_text()]
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(30)
    wait_for(lambda: not list(temporary.iterdir()), 10, log)
