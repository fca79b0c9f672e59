# SPDX-License-Identifier: Apache-2.0
"""An empty folder, the zip and the installed packages: training, evaluation, inference, loading and ONNX."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

Run = Callable[..., subprocess.CompletedProcess[str]]
Series = Callable[..., list[Path]]
TOLERANCE = 1e-4  # of the fixed scale, where 1.0 is the bright end
pytestmark = pytest.mark.slow

LOAD = """
import sys, torch, monai
network = monai.bundle.load(sys.argv[1], bundle_dir=sys.argv[2], workflow_type=sys.argv[3]).eval()
saved = torch.load(sys.argv[2] + "/" + sys.argv[1] + "/models/model.pt", weights_only=True)
assert all(torch.equal(saved[name], value) for name, value in network.state_dict().items())
with torch.no_grad():
    shape = tuple(network(torch.rand(1, 1, 37, 40)).shape)
print("LOADED", type(network).__name__, shape, "scripts" in sys.modules, sys.argv[2] in "".join(sys.path))
"""


@pytest.fixture(scope="module")
def small(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A function that gives ``--config_file`` of one config with those settings of ``smoke.yaml`` that it knows."""
    overlays = tmp_path_factory.mktemp("overlays")
    smoke = yaml.safe_load((unpacked / "configs" / "smoke.yaml").read_text())

    def config_file(name: str) -> str:
        known = yaml.safe_load((unpacked / "configs" / f"{name}.yaml").read_text())
        overlay = overlays / f"{name}.yaml"
        overlay.write_text(yaml.safe_dump({k: v for k, v in smoke.items() if k.split("::")[0] in known}))
        return str([str(unpacked / "configs" / f"{name}.yaml"), str(overlay)])

    return config_file


@pytest.fixture(scope="module")
def trained(unpacked: Path, small: Callable[[str], str], alone: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smoke run by absolute path, from a folder that has a ``scripts`` of its own."""
    place = tmp_path_factory.mktemp("elsewhere")
    (place / "scripts").mkdir()
    (place / "scripts" / "__init__.py").write_text("raise ImportError('the scripts of another project')")
    alone(
        *("-m", "monai.bundle", "run", "training", "--config_file", small("train"), "--bundle_root", unpacked),
        cwd=place,
    )
    (run,) = (place / "outputs").iterdir()
    assert (run / "model.pt").is_file()
    return run


def test_training_from_the_bundle_root(unpacked: Path, alone: Run, pairs: Path, tmp_path: Path) -> None:
    alone(
        *("-m", "monai.bundle", "run", "training"),
        *("--config_file", "['configs/train.yaml','configs/smoke.yaml']", "--dataset_dir", pairs),
        *("--max_epochs", 1, "--output_dir", tmp_path),
        cwd=unpacked,
    )
    (run,) = tmp_path.iterdir()
    assert {"config.yaml", "curves.csv", "METHODS.md", "model.pt"} <= {path.name for path in run.iterdir()}


@pytest.mark.parametrize("where", ["root", "elsewhere"])
def test_evaluation(
    unpacked: Path, small: Callable[[str], str], trained: Path, alone: Run, pairs: Path, tmp_path: Path, where: str
) -> None:
    alone(
        *("-m", "monai.bundle", "run", "evaluating", "--config_file", small("evaluate"), "--checkpoint"),
        *(trained / "model.pt", "--dataset_dir", pairs, "--output_dir", tmp_path / "out"),
        *(() if where == "root" else ("--bundle_root", unpacked)),
        cwd=unpacked if where == "root" else tmp_path,
    )
    with (tmp_path / "out" / "metrics.csv").open(newline="") as stream:
        assert {row["method"] for row in csv.DictReader(stream)} > {"model"}


@pytest.mark.parametrize("where", ["root", "elsewhere"])
def test_inference_with_the_shipped_weights(
    unpacked: Path, alone: Run, knee_series: Series, tmp_path: Path, where: str
) -> None:
    knee_series("in/study", acquired=True)
    config = "configs/inference.yaml" if where == "root" else unpacked / "configs" / "inference.yaml"
    alone(
        *("-m", "monai.bundle", "run", "inference", "--config_file", config),
        *("--dataset_dir", tmp_path / "in", "--output_dir", tmp_path / "out"),
        *(() if where == "root" else ("--bundle_root", unpacked)),
        cwd=unpacked if where == "root" else tmp_path,
    )
    assert len(list((tmp_path / "out").rglob("0*.dcm"))) == 10
    assert len(list((tmp_path / "out").rglob("PDFS.nii.gz"))) == 1


def test_the_twins_run_too_and_need_no_root(unpacked: Path, alone: Run, knee_series: Series, tmp_path: Path) -> None:
    knee_series("in/study", acquired=True)
    alone(
        *("-m", "monai.bundle", "run", "inference", "--config_file", unpacked / "configs" / "inference.json"),
        *("--dataset_dir", tmp_path / "in", "--output_dir", tmp_path / "out"),
        cwd=tmp_path,
    )
    assert len(list((tmp_path / "out").rglob("0*.dcm"))) == 10


def test_the_command_line_synthesises(unpacked: Path, alone: Run, knee_series: Series, tmp_path: Path) -> None:
    knee_series("in", acquired=True)
    alone("-m", "scripts", "synthesize", tmp_path / "in", "-o", tmp_path / "out", cwd=unpacked)
    assert (tmp_path / "out" / "report.html").is_file()
    done = alone("-m", "scripts", "--version", cwd=unpacked)
    assert done.stdout.startswith("kneesynth ")


def test_it_tests_itself(unpacked: Path, alone: Run, tmp_path: Path) -> None:
    done = alone("-m", "scripts", "selftest", "--json", "-", "-o", tmp_path, cwd=unpacked)
    report = json.loads(done.stdout)
    (stored,) = (check["found"] for check in report["checks"] if check["name"] == "stored results")
    assert stored == "of these weights"
    assert report["software"]["commit"] is None
    alone("-m", "scripts", "selftest", "--store", cwd=unpacked, code=2)


@pytest.mark.parametrize("workflow", ["inference", "train"])
def test_loading_by_name_gives_the_network_with_its_weights_and_leaves_no_trace(
    unpacked: Path, alone: Run, tmp_path: Path, workflow: str
) -> None:
    done = alone("-c", LOAD, unpacked.name, unpacked.parent, workflow, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "LOADED CrossContrastNet (1, 1, 37, 40) False False"


@pytest.mark.parametrize(("target", "contrast"), [(0, "PD"), (1, "PDFS")])
def test_onnx_computes_what_the_network_computes(
    unpacked: Path, alone: Run, tmp_path: Path, target: int, contrast: str
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    alone(
        *("-m", "monai.bundle", "onnx_export", "one_direction", "--filepath", tmp_path / "model.onnx"),
        *("--displayable_configs#target_contrast", contrast, "--ckpt_file", "models/model.pt"),
        *("--meta_file", "configs/metadata.json", "--config_file", "configs/inference.yaml"),
        *("--use_trace", "True", "--input_shape", "[1, 1, 96, 83]"),
        cwd=unpacked,
    )
    session = runtime.InferenceSession(os.fspath(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    from monai.bundle import ConfigParser

    parser = ConfigParser(yaml.safe_load((unpacked / "configs" / "inference.yaml").read_text()))
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(unpacked / "models" / "model.pt", weights_only=True))
    for seed in range(3):
        image = torch.rand(1, 1, 96, 83, generator=torch.Generator().manual_seed(seed)) * (seed + 1) / 2
        with torch.no_grad():
            expected = network(image, target).numpy()
        (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
        assert expected.std() > 0.01
        assert np.abs(found - expected).max() <= TOLERANCE
