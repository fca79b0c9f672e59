# SPDX-License-Identifier: Apache-2.0
"""Another bundle with a ``scripts`` of its own in the same process, before ours and after it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scripts.packaging.archive import Package
from scripts.packaging.build import run_package
from scripts.packaging.layout import Layout

Run = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.slow

# A bundle as the model zoo's are: its folder is put at the end of the path, and nothing is given back. It has a module
# of the name of one of ours.
OTHER = {
    "scripts/__init__.py": "",
    "scripts/networks.py": (
        "import torch\n"
        "class OtherNet(torch.nn.Module):\n"
        "    def __init__(self, bias):\n"
        "        super().__init__()\n"
        "        self.bias = torch.nn.Parameter(torch.tensor(float(bias)))\n"
        "    def forward(self, x):\n"
        "        from scripts.helper import add\n"
        "        return add(x, self.bias)\n"
    ),
    "scripts/helper.py": "def add(x, y):\n    return x + y\n",
}
CONFIG = {
    "imports": ["$import sys", "$import pathlib"],
    "bundle_root": "?",
    "device": "$torch.device('cpu')",
    "network_def": {"_target_": "scripts.networks.OtherNet", "bias": 5},
    "initialize": ["$sys.path.append(@bundle_root)"],
    "run": ["$pathlib.Path(@bundle_root + '/ran').write_text(str(@network_def(torch.zeros(1)).item()))"],
}

LOAD_BOTH = """
import sys, torch, monai
folder = sys.argv[1]
networks = {}
for name in sys.argv[2:]:
    networks[name] = monai.bundle.load(name, bundle_dir=folder, workflow_type="inference").eval()
with torch.no_grad():
    for name, network in networks.items():
        print("GAVE", name, type(network).__name__, tuple(network(torch.rand(1, 1, 20, 20)).shape))
"""

RUN_BOTH = """
import sys, monai
folder, data, out = sys.argv[1:4]
for name in sys.argv[4:]:
    extra = {} if name == "other" else {"dataset_dir": data, "output_dir": out, "bundle_root": f"{folder}/{name}"}
    config = f"{folder}/{name}/configs/inference." + ("json" if name == "other" else "yaml")
    monai.bundle.run("run", config_file=config, meta_file=f"{folder}/{name}/configs/metadata.json", **extra)
    print("RAN", name)
"""


@pytest.fixture(scope="module")
def folder(
    shipped: Package, layout: Layout, make_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Three bundles side by side: the shipped one, one of a run's weights, and a stranger."""
    place = tmp_path_factory.mktemp("bundles")
    shipped.write(place / shipped.name)
    run_package(layout, make_run() / "best.pt", "own_knees").write(place / "own_knees")
    for name, text in OTHER.items():
        (place / "other" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "other" / name).write_text(text)
    (place / "other" / "configs").mkdir()
    config = CONFIG | {"bundle_root": str(place / "other")}
    (place / "other" / "configs" / "inference.json").write_text(json.dumps(config))
    (place / "other" / "configs" / "metadata.json").write_text(json.dumps({"version": "1.0.0"}))
    (place / "other" / "models").mkdir()
    torch.save({"bias": torch.tensor(7.0)}, place / "other" / "models" / "model.pt")
    return place


@pytest.mark.parametrize(
    "order",
    [("other", "shipped"), ("shipped", "other"), ("shipped", "own_knees"), ("own_knees", "other", "shipped")],
    ids="-".join,
)
def test_networks_are_loaded_in_any_order(
    folder: Path, shipped: Package, alone: Run, tmp_path: Path, order: tuple[str, ...]
) -> None:
    names = [shipped.name if name == "shipped" else name for name in order]
    done = alone("-c", LOAD_BOTH, folder, *names, cwd=tmp_path)
    kinds = {name: "OtherNet" if name == "other" else "CrossContrastNet" for name in names}
    expected = [f"GAVE {name} {kinds[name]} (1, 1, 20, 20)" for name in names]
    assert [line for line in done.stdout.splitlines() if line.startswith("GAVE")] == expected


@pytest.mark.parametrize("order", [("other", "shipped"), ("shipped", "other")], ids="-".join)
def test_workflows_run_in_either_order(
    folder: Path,
    shipped: Package,
    alone: Run,
    knee_series: Callable[..., list[Path]],
    tmp_path: Path,
    order: tuple[str, ...],
) -> None:
    knee_series("in/study", acquired=True)
    names = [shipped.name if name == "shipped" else name for name in order]
    alone("-c", RUN_BOTH, folder, tmp_path / "in", tmp_path / "out", *names, cwd=tmp_path)
    assert (folder / "other" / "ran").read_text() == "5.0"
    (folder / "other" / "ran").unlink()
    assert len(list((tmp_path / "out").rglob("0*.dcm"))) == 10
