# SPDX-License-Identifier: Apache-2.0
"""The commands of the README at smoke size: train, kill, resume, evaluate, synthesise."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "bundle" / "configs"
OVERLAYS: dict[str, Path] = {}
LOSSES = ("loss", "content", "recon", "cross")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def overlays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The part of smoke.yaml that each config knows: the small network and cohort, not the training."""
    smoke = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    for config in ("train", "evaluate", "inference"):
        known = yaml.safe_load((CONFIGS / f"{config}.yaml").read_text())
        part = {key: value for key, value in smoke.items() if key.split("::")[0] in known}
        OVERLAYS[config] = tmp_path_factory.mktemp("overlay") / f"{config}.yaml"
        OVERLAYS[config].write_text(yaml.safe_dump(part))
    return OVERLAYS


def command(run_id: str, config: str, **options: object) -> list[str]:
    files = [f"bundle/configs/{config}.yaml", str(OVERLAYS[config])]
    words = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(files)]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return words


def bundle_run(run_id: str, config: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command(run_id, config, **options),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


def curves(run: Path) -> list[dict[str, float]]:
    with (run / "curves.csv").open(newline="") as stream:
        return [{name: float(row[name]) for name in LOSSES} for row in csv.DictReader(stream)]


def only_run(folder: Path) -> Path:
    (run,) = (path for path in folder.iterdir() if path.is_dir())
    return run


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A finished smoke run."""
    folder = tmp_path_factory.mktemp("whole")
    bundle_run("training", "train", output_dir=folder, cache_dir=cache, max_epochs=3)
    return only_run(folder)


def test_a_run_leaves_what_its_reader_needs(run: Path) -> None:
    for name in ("config.yaml", "run.json", "curves.csv", "curves.png", "METHODS.md", "last.pt", "best.pt", "model.pt"):
        assert (run / name).stat().st_size > 0, name
    assert list((run / "panels").glob("*.png"))
    assert list((run / "tensorboard").iterdir())
    assert "simulated" in (run / "METHODS.md").read_text()
    assert len(curves(run)) == 3


def test_a_killed_run_resumes_to_the_same_losses(run: Path, cache: Path, tmp_path: Path) -> None:
    options = {"output_dir": tmp_path, "cache_dir": cache, "max_epochs": 3}
    process = subprocess.Popen(
        command("training", "train", **options),
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("*/last.pt")):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline, "no epoch was finished in time"
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    cut = only_run(tmp_path)
    bundle_run("training", "train", resume="true", **options)
    assert only_run(tmp_path) == cut
    whole, resumed = curves(run), curves(cut)
    assert len(resumed) == 3
    for expected, found in zip(whole, resumed, strict=True):
        assert found == pytest.approx(expected, abs=1e-6)


def test_its_weights_can_be_evaluated(run: Path, cache: Path, tmp_path: Path) -> None:
    bundle_run("evaluating", "evaluate", output_dir=tmp_path, cache_dir=cache, checkpoint=run / "model.pt")
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["method"] for row in rows} > {"model"}
    assert "simulated" in (tmp_path / "summary.md").read_text()


def test_its_weights_synthesise_a_folder(run: Path, cache: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from scripts.cli.app import app

    options = ["simulate", "-o", str(tmp_path / "in"), "--shape", "24x192x192", "--plane", "sagittal", "--dicom"]
    assert CliRunner().invoke(app, options).exit_code == 0
    out = tmp_path / "out"
    bundle_run(
        "inference", "inference",
        dataset_dir=tmp_path / "in", output_dir=out, checkpoint=run / "model.pt", accept_simulated="true",
    )  # fmt: skip
    assert len(list(out.rglob("0*.dcm"))) == 24
    assert len(list(out.rglob("*.nii.gz"))) == 1
    assert len(list(out.rglob("report.html"))) == 1
