# SPDX-License-Identifier: Apache-2.0
"""Two processes that train together, by gloo on the CPU, as ``torchrun`` starts them: they are one training."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from scripts.bundle_config import load_config
from scripts.networks import CrossContrastNet

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "bundle" / "configs"
pytestmark = pytest.mark.slow

NETWORK = {key: value for key, value in yaml.safe_load((CONFIGS / "smoke.yaml").read_text()).items() if "::" in key}
STEPS = {
    **{key: value for key, value in NETWORK.items() if key.startswith("network_def")},
    "augmentation::size": [32, 32],
    "samples_per_epoch": 40,
    "batch_size": 4,
    "max_epochs": 1,
    "val_interval": 1,
    # In bfloat16 a sum depends in its third digit on how a batch was divided: nothing could be compared.
    "+train::trainer": {"autocast": False},
}


# torchrun's store listens on every address of the machine; in a network of their own there is none but the loopback.
ALONE = ["unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@pytest.fixture(scope="module", autouse=True)
def _can_be_alone() -> None:
    try:
        subprocess.run([*ALONE, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a network namespace (unshare and ip), so that torchrun listens on the loopback alone")


def launch(overlay: Path, processes: int, **options: object) -> tuple[list[str], dict[str, str]]:
    """The command and environment of a training run by one process or by several."""
    files = ["bundle/configs/train.yaml", str(overlay)]
    python = [sys.executable]
    if processes > 1:
        python = [*ALONE, sys.executable]
        files.append("bundle/configs/multi_gpu.yaml")
        python += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    words = [*python, "-m", "monai.bundle", "run", "training", "--config_file", str(files)]
    words += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    path = os.pathsep.join([str(ROOT / "tests" / "bundle" / "probe"), os.environ.get("PYTHONPATH", "")])
    return words, os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": path}


def train(overlay: Path, processes: int, fails: bool = False, **options: object) -> str:
    words, environment = launch(overlay, processes, **options)
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def write(path: Path, settings: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients to train on and three to validate on, of different sizes."""
    import nibabel

    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    affine = np.array([[0, 0, 3.3, -18], [-0.5, 0, 0, 8], [0, -0.5, 0, 8], [0, 0, 0, 1]], dtype=float)
    listed: dict[str, list[dict[str, str]]] = {"training": [], "validation": []}
    for number in range(7):
        entry = {"patient": f"p{number}"}
        for key in ("image", "label"):
            voxels = rng.uniform(0, 900, (48, 40, 6 + number)).astype(np.float32)
            nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / f"{number}-{key}.nii.gz")
            entry[key] = f"{number}-{key}.nii.gz"
        listed["training" if number < 4 else "validation"].append(entry)
    path = folder / "pairs.json"
    path.write_text(json.dumps(listed), encoding="utf-8")
    return path


def kept_steps(folder: Path, manifest: Path, processes: int, **settings: Any) -> list[dict[str, Any]]:
    """What each process kept of ten steps, see `keep.Steps`."""
    handler = {"_target_": "keep.Steps", "folder": str(folder / "kept"), "network": "@network", "ema": "@ema"}
    overlay = write(folder / "steps.yaml", STEPS | settings | {"+train::handlers": [handler]})
    train(overlay, processes, manifest=manifest, output_dir=folder / "out", device="cpu")
    kept = [torch.load(folder / "kept" / f"rank{number}.pt") for number in range(processes)]
    assert {found["steps"] for found in kept} == {10}
    return kept


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> dict[str, Any]:
    return kept_steps(tmp_path_factory.mktemp("alone"), manifest, 1)[0]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> list[dict[str, Any]]:
    return kept_steps(tmp_path_factory.mktemp("together"), manifest, 2)


def distance(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Norm of a tensor's difference over the tensor's norm, the largest of all tensors."""
    assert found.keys() == expected.keys()
    return max(float((found[name] - value).norm() / value.norm()) for name, value in expected.items())


def test_the_processes_share_each_step_of_the_one(alone: dict[str, Any], together: list[dict[str, Any]]) -> None:
    first, second = (found["slices"] for found in together)
    for whole, mine, theirs in zip(alone["slices"], first, second, strict=True):
        assert torch.equal(whole, torch.stack((mine, theirs), dim=1).flatten())
        assert whole.unique().numel() == 4, "a slice was trained on twice in a step"


def test_gradients_and_weights_are_those_of_one_process(alone: dict[str, Any], together: list[dict[str, Any]]) -> None:
    for found in together:
        assert distance(found["gradients"], alone["gradients"]) < 1e-5
        assert distance(found["weights"], alone["weights"]) < 1e-4
        assert distance(found["average"], alone["average"]) < 1e-4
        for name in ("loss", "content", "recon", "cross"):
            assert found["metrics"][name] == pytest.approx(alone["metrics"][name], rel=1e-4)


@pytest.fixture(scope="module")
def with_chance(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> list[dict[str, Any]]:
    """A network with what each process has of its own: skips that are dropped, statistics of its batches."""
    settings = {"network_def::cross_domain_strategy": "gated_skip", "network_def::norm": "batch"}
    return kept_steps(tmp_path_factory.mktemp("chance"), manifest, 2, **settings)


@pytest.mark.parametrize("run", ["together", "with_chance"])
def test_all_processes_end_with_the_same_network_and_average(run: str, request: pytest.FixtureRequest) -> None:
    first, second = request.getfixturevalue(run)
    for part in ("gradients", "weights", "average"):
        for name, value in first[part].items():
            assert torch.equal(value, second[part][name]), name


def test_patients_that_cannot_be_divided_count_once_each(
    together: list[dict[str, Any]], manifest: Path, tmp_path: Path
) -> None:
    torch.save(together[0]["average"], tmp_path / "model.pt")
    kept = []
    for processes in (1, 2):
        folder = tmp_path / f"by{processes}"
        keep = {"_target_": "keep.scores", "evaluator": "@validate#evaluator", "folder": str(folder)}
        run = {"training": ["$@validate#evaluator.run()", keep], "initial_weights": str(tmp_path / "model.pt")}
        overlay = write(tmp_path / "validate.yaml", {**STEPS, **run})
        train(overlay, processes, manifest=manifest, output_dir=tmp_path / "out")
        kept.append([torch.load(folder / f"rank{number}.pt") for number in range(processes)])
    (one,), (first, second) = kept
    assert (one["patients"], first["patients"], second["patients"]) == (3, 2, 1)
    assert len(one["metrics"]) == 5
    for name, value in one["metrics"].items():
        assert first["metrics"][name] == second["metrics"][name] == pytest.approx(value, rel=1e-6), name


# ---- whole runs on simulated knees: one patient to validate on, so that the second process has none

EPOCHS = 5


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def only_run(folder: Path) -> Path:
    (run,) = (path for path in folder.iterdir() if path.is_dir())
    return run


def losses(run: Path) -> list[dict[str, float]]:
    columns = ("epoch", "loss", "content", "recon", "cross", "val_psnr")
    with (run / "curves.csv").open(newline="") as stream:
        return [{name: float(row[name]) for name in columns} for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    told = train(CONFIGS / "smoke.yaml", 2, output_dir=folder, cache_dir=cache, max_epochs=EPOCHS)
    assert told.count(f"epoch 1/{EPOCHS}  loss") == 1, "the processes all said it"
    assert told.count("Simulating 2 of 2 training knees") == 1
    return only_run(folder)


def test_the_first_process_leaves_one_run_folder(run: Path) -> None:
    assert [row["epoch"] for row in losses(run)] == list(range(1, EPOCHS + 1))
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert len(list((run / "panels").iterdir())) == EPOCHS
    record = json.loads((run / "run.json").read_text())
    assert (record["finished"], record["hardware"]["processes"]) == (True, 2)
    assert "batches of 4, shared by 2 processes" in (run / "METHODS.md").read_text()


def test_its_weights_know_nothing_of_processes(run: Path) -> None:
    settings = load_config(CONFIGS / "train.yaml", [CONFIGS / "smoke.yaml"])["network_def"]
    settings |= {"contrasts": ["PD", "PDFS"]}
    network = CrossContrastNet(**{key: value for key, value in settings.items() if key != "_target_"})
    network.load_state_dict(torch.load(run / "model.pt", weights_only=True), strict=True)
    parts = torch.load(run / "last.pt", weights_only=True)["parts"]
    assert parts["network"].keys() == parts["ema"].keys() == network.state_dict().keys()


def test_its_folder_is_diagnosed_by_one_process(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.cli.diagnose import run_diagnosis
    from scripts.cli.diagnosis_source import find_source

    monkeypatch.chdir(ROOT)
    found = run_diagnosis(find_source(run), batches=1).report()
    assert found["verdict"]


def children(process: int) -> dict[int, int]:
    """Training processes below ``torchrun``: rank to process number."""
    found = {}
    for number in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        for line in Path(f"/proc/{number}/environ").read_bytes().split(b"\0"):
            if line.startswith(b"RANK="):
                found[int(line.removeprefix(b"RANK="))] = int(number)
    return found


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes by /proc")
def test_a_lost_process_ends_the_job_and_resume_goes_on(run: Path, cache: Path, tmp_path: Path) -> None:
    options = {"output_dir": tmp_path, "cache_dir": cache, "max_epochs": EPOCHS}
    words, environment = launch(CONFIGS / "smoke.yaml", 2, **options)
    with (tmp_path / "log.txt").open("w") as log:
        job = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("*/last.pt")):
            assert job.poll() is None, (tmp_path / "log.txt").read_text()[-3000:]
            assert time.monotonic() < deadline, "no epoch was finished in time"
            time.sleep(0.02)
        workers = children(job.pid)
        os.kill(workers[1], signal.SIGKILL)
        assert job.wait(timeout=60) != 0
        assert not Path(f"/proc/{workers[0]}").exists(), "the other process trains on"
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
    cut = only_run(tmp_path)
    assert len(losses(cut)) < EPOCHS, "the run ended before it could be killed"
    assert json.loads((cut / "run.json").read_text())["finished"] is False
    train(CONFIGS / "smoke.yaml", 2, resume="true", **options)
    assert only_run(tmp_path) == cut
    for expected, found in zip(losses(run), losses(cut), strict=True):
        assert found == pytest.approx(expected, abs=1e-6)
    # and by one process, since nothing in the folder depends on how many there are
    train(CONFIGS / "smoke.yaml", 1, resume="true", run_dir=cut, cache_dir=cache, max_epochs=EPOCHS + 1)
    assert len(losses(cut)) == EPOCHS + 1


def test_what_cannot_be_shared_is_refused_at_once(tmp_path: Path) -> None:
    told = train(CONFIGS / "smoke.yaml", 2, fails=True, batch_size=3, output_dir=tmp_path, cache_dir=tmp_path)
    assert "batch_size is 3 and 2 processes share it" in told
    assert not list(tmp_path.iterdir())
