# SPDX-License-Identifier: Apache-2.0
"""The packed bundle in the stock app of MONAI Label: a server of the second environment, asked over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.packaging.build import shipped_package
from scripts.packaging.layout import find_layout

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-label"
MODEL = "knee_pd_pdfs_synthesis"
SHAPE = "12x64x64"

Start = Callable[..., "Label"]


@dataclass(frozen=True)
class Label:
    """A server of MONAI Label.

    Args:
        url: its address.
        bundle: folder of the bundle that it serves.
        log: what it printed.
    """

    url: str
    bundle: Path
    log: Path

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, bytes]:
        """Status and body of the answer to a request; a mapping is sent as JSON, ``(fields, files)`` as a form."""
        headers = {}
        if isinstance(body, tuple):
            mark = uuid.uuid4().hex
            body = form(mark, *body)
            headers["Content-Type"] = f"multipart/form-data; boundary={mark}"
        elif body is not None:
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def infer(
        self, image: str | Path = "", output: str = "image", upload: Path | None = None, **params: Any
    ) -> tuple[int, bytes]:
        """Ask for a synthesis of an image of the datastore, of a path on the server, or of a file that is sent."""
        files = {} if upload is None else {"file": upload}
        form_fields = ({"params": json.dumps(params)}, files)
        return self.ask("POST", f"/infer/{MODEL}", form_fields, image=image, output=output)

    def train(self, timeout: float = 300, **params: Any) -> dict[str, Any]:
        """Train in the background, as Label's own clients do, and give the task when it has ended."""
        status, answer = self.ask("POST", f"/train/{MODEL}", params)
        assert status == 200, answer
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            task: dict[str, Any] = json.loads(self.ask("GET", "/train/")[1])
            if task["status"] in ("DONE", "ERROR"):
                return task
            time.sleep(1)
        raise AssertionError(f"no end of training within {timeout} s: {self.log.read_text()[-2000:]}")


def form(mark: str, fields: dict[str, str], files: dict[str, Path]) -> bytes:
    """A multipart form."""
    head = f"--{mark}\r\nContent-Disposition: form-data; name="
    parts = [f'{head}"{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    for name, path in files.items():
        parts.append(f'{head}"{name}"; filename="{path.name}"\r\n\r\n'.encode() + path.read_bytes() + b"\r\n")
    return b"".join(parts) + f"--{mark}--\r\n".encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def label_program() -> Path:
    program = ENVIRONMENT / "bin" / "monailabel"
    if not program.is_file():
        pytest.skip("needs the environment of MONAI Label: make label")
    return program


@pytest.fixture(scope="module")
def start(label_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """A function that serves the shipped package over a datastore; the servers end with the module's tests."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{label_program.parent}{os.pathsep}{environment['PATH']}"  # its script runs `python`
    environment["OMP_NUM_THREADS"] = "1"
    running: list[subprocess.Popen[bytes]] = []

    def serve(studies: Path | str, **variables: str) -> Label:
        place = tmp_path_factory.mktemp("label")
        subprocess.run(
            [label_program, "apps", "--download", "--name", "monaibundle", "--output", place],
            env=environment, check=True, capture_output=True, timeout=300,
        )  # fmt: skip
        app = place / "monaibundle"
        bundle = app / "model" / MODEL
        shipped_package(find_layout()).write(bundle)
        for tool in ("itkimage2segimage", "segimage2itkimage"):  # Label would fetch them for DICOM SEG
            (app / "bin").mkdir(exist_ok=True)
            (app / "bin" / tool).write_text("#!/bin/sh\nexit 1\n")
            (app / "bin" / tool).chmod(0o755)
        label = Label(f"http://127.0.0.1:{free_port()}", bundle, place / "log.txt")
        with label.log.open("wb") as log:
            process = subprocess.Popen(
                [label_program, "start_server", "--app", app, "--studies", studies, "--conf", "models", MODEL,
                 "--conf", "zoo_source", "local", "--conf", "sam2", "false", "--host", "127.0.0.1",
                 "--port", label.url.rpartition(":")[2]],
                env=environment | variables, stdout=log, stderr=log, cwd=place,
            )  # fmt: skip
        running.append(process)
        for _ in range(240):
            try:
                if label.ask("GET", "/info/")[0] == 200:
                    return label
            except OSError:
                time.sleep(1)
            assert process.poll() is None, label.log.read_text()[-3000:]
        raise AssertionError(f"no answer within four minutes: {label.log.read_text()[-3000:]}")

    yield serve
    for process in running:
        process.terminate()
    for process in running:
        process.wait(60)


@pytest.fixture(scope="session")
def knees(label_program: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four small simulated studies: NIfTI by name, and DICOM with a localiser, PD and PDFS in folders of their own."""
    folder = tmp_path_factory.mktemp("knees")
    subprocess.run(
        [sys.executable, "-m", "scripts", "simulate", "-o", folder / "all", "--studies", "4", "--seed", "21",
         "--plane", "sagittal", "--shape", SHAPE, "--nifti", "--dicom"],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    return sorted((folder / "all").iterdir())


@pytest.fixture(scope="module")
def datastore(knees: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder datastore: PD and PDFS of the first knee."""
    folder = tmp_path_factory.mktemp("studies")
    for contrast in ("PD", "PDFS"):
        shutil.copy(knees[0] / f"{contrast}.nii.gz", folder / f"{contrast}_scan.nii.gz")
    return folder
