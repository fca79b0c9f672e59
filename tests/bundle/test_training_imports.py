# SPDX-License-Identifier: Apache-2.0
"""Training must run on a bare GPU machine: torch, numpy, monai, ignite, pyyaml and fire, and what those bring along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = ("torch", "numpy", "monai", "ignite", "yaml", "fire")
NOT_THERE = (
    *("pydicom", "highdicom", "nibabel", "gdcm", "pylibjpeg", "jpeg_ls"),
    *("matplotlib", "PIL", "scipy", "tensorboard", "wandb", "pandas", "skimage", "jsonschema"),
    *("typer", "rich", "click", "tqdm", "SimpleITK", "h5py"),
)

BARE_MACHINE = f"""
import sys, warnings
warnings.simplefilter("ignore")
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        missing = name.partition(".")[0] in {NOT_THERE!r}
        return None if missing else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""

IMPORT_WHAT_TRAINING_NAMES = """
import importlib
from monai.bundle import ConfigParser
import monai, torch, numpy, ignite.engine, ignite.handlers, yaml, fire
importlib.import_module("ignite.metrics")
allowed = {name.partition(".")[0] for name in sys.modules} | sys.stdlib_module_names | {"scripts"}

def targets(config):
    if isinstance(config, dict):
        yield from [config["_target_"]] if "_target_" in config else []
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            yield from targets(item)

named = sorted({t.rpartition(".")[0] for t in targets(ConfigParser.load_config_file(CONFIG))
                if isinstance(t, str) and t.startswith("scripts.")})
assert named, "the config names nothing of this project"
for module in named:
    importlib.import_module(module)
foreign = {name.partition(".")[0] for name in sys.modules} - allowed
print("FOREIGN", sorted(name for name in foreign if not name.startswith("_")))
"""


def run_bare(code: str, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BARE_MACHINE + code], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )


def test_the_bare_machine_lacks_what_it_should() -> None:
    done = run_bare("import matplotlib", timeout=60)
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("name", ["train", "uncertainty"])
def test_training_imports_only_what_a_bare_machine_has(name: str) -> None:
    done = run_bare(f'CONFIG = "bundle/configs/{name}.yaml"\n{IMPORT_WHAT_TRAINING_NAMES}', timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "FOREIGN []"


@pytest.mark.slow
def test_training_runs_on_a_bare_machine(tmp_path: Path) -> None:
    code = f"""
import runpy
sys.argv = ["monai.bundle", "run", "training", "--config_file",
            "['bundle/configs/train.yaml','bundle/configs/smoke.yaml']",
            "--output_dir", {str(tmp_path / "run")!r}, "--cache_dir", {str(tmp_path / "cache")!r}]
sys.path.insert(0, "")
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""
    done = run_bare(code, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list((tmp_path / "run").rglob("*.pt")), "training left no checkpoint"
