# SPDX-License-Identifier: Apache-2.0
"""Debian's Orthanc for tests. It listens on all addresses, so it only ever runs inside `pytest_alone`."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = Path("/usr/share/orthanc/plugins")
DICOM_WEB, PYTHON = "libOrthancDicomWeb.so", "libOrthancPython.so"
PORT = 8042


def need_orthanc(*plugins: str) -> None:
    """Skip where Orthanc or one of some plugins is not installed."""
    missing = [name for name in plugins if not (PLUGINS / name).is_file()]
    if shutil.which("Orthanc") is None or missing:
        pytest.skip(f"needs Debian's orthanc and its plugins ({' '.join(missing) or 'orthanc'} is not there)")


@contextlib.contextmanager
def serving(folder: Path, *plugins: str, **config: Any) -> Iterator[str]:
    """Run Orthanc while the block runs.

    Args:
        folder: for its configuration, storage and log.
        plugins: files of `PLUGINS`.
        config: more of its configuration.

    Yields:
        The address of its REST interface.
    """
    storage = str(folder / "storage")
    plain = {"Name": "TEST", "HttpPort": PORT, "DicomServerEnabled": False, "RemoteAccessAllowed": False}
    plain |= {"StorageDirectory": storage, "IndexDirectory": storage, "AuthenticationEnabled": False}
    (folder / "orthanc.json").write_text(json.dumps(plain | {"Plugins": [str(PLUGINS / p) for p in plugins]} | config))
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(["Orthanc", folder / "orthanc.json"], stdout=log, stderr=log, cwd=ROOT)
    url = f"http://127.0.0.1:{PORT}"
    try:
        for _ in range(60):
            try:
                ask(f"{url}/system")
                break
            except OSError:
                assert process.poll() is None, (folder / "log.txt").read_text()
                time.sleep(1)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def ask(url: str, body: bytes | None = None, **headers: str) -> bytes:
    """The answer to a GET, or to a POST of a body."""
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: bytes = response.read()
    return answer


def store(url: str, files: list[Path]) -> None:
    """Store instances over the REST interface."""
    for file in files:
        ask(f"{url}/instances", file.read_bytes())
