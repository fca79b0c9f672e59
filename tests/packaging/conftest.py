# SPDX-License-Identifier: Apache-2.0
"""The shipped package made once, unpacked where nothing else is, and processes that see no other ``scripts``."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from scripts.packaging.archive import Package
from scripts.packaging.build import shipped_package
from scripts.packaging.layout import Layout, find_layout

ROOT = Path(__file__).resolve().parents[2]

# An installed checkout answers for `scripts` where the path does not; in an empty environment nothing does.
ONLY_THE_PATH = """
import sys
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in getattr(f, "__module__", type(f).__module__)]
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def layout() -> Layout:
    return find_layout()


@pytest.fixture(scope="session")
def shipped(layout: Layout) -> Package:
    return shipped_package(layout)


@pytest.fixture(scope="session")
def unpacked(shipped: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's folder, alone in its place, as unzipped. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("empty")
    with zipfile.ZipFile(io.BytesIO(shipped.zip_bytes())) as archive:
        archive.extractall(folder)
    return folder / shipped.name


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A function that runs Python in some folder, with the installed packages and no `scripts` but that folder's."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(ONLY_THE_PATH)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KNEESYNTH")}
    environment |= {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(
        *words: object, cwd: Path, code: int = 0, timeout: float = 900, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=cwd, env=environment | variables, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-3000:]
        return done

    return run


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that makes a run folder as training leaves it, of a small network with random weights."""

    def make(name: str = "20260101-120000", **settings: object) -> Path:
        from scripts.bundle_config import load_config
        from scripts.packaging.training_run import build_network

        folder = tmp_path_factory.mktemp("runs") / name
        (folder / "panels").mkdir(parents=True)
        configs = ROOT / "bundle" / "configs"
        config = load_config(configs / "train.yaml", [configs / "smoke.yaml", settings])
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        torch.manual_seed(0)
        network = build_network(config["network_def"] | {"contrasts": config["contrasts"]})
        state = network.state_dict()
        averaged = {f"module.{key}": value for key, value in state.items()} | {"n_averaged": torch.tensor(3)}
        untrained = {key: torch.zeros_like(value) for key, value in state.items()}
        for file, epoch in (("best.pt", 1), ("last.pt", 2)):
            torch.save({"format": 1, "epoch": epoch, "parts": {"network": untrained, "ema": averaged}}, folder / file)
        torch.save(state, folder / "model.pt")
        (folder / "curves.csv").write_text(
            "epoch,loss,cross,val_psnr,psnr_PD_to_PDFS,psnr_PDFS_to_PD\n1,0.5,0.4,21.5,22.25,20.75\n2,0.4,0.3,20.0,21.0,19.0\n"
        )
        (folder / "run.json").write_text(
            '{"seconds": 5400.0, "seed": 7, "commit": "abc123", "data": {"pairs": 12, "sha256": "f00d"}, '
            '"hardware": {"device": "cpu", "processor": "Some CPU"}}'
        )
        (folder / "METHODS.md").write_text("# Methods\n\nA network was trained by a method that is told here.\n")
        for epoch in (1, 2):
            (folder / "panels" / f"epoch_{epoch:04d}.png").write_bytes(b"\x89PNG panel of epoch %d" % epoch)
        (folder / "curves.png").write_bytes(b"\x89PNG curves")
        return folder

    return make
