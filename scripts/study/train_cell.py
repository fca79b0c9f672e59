# SPDX-License-Identifier: Apache-2.0
"""Train one cell of a study with the bundle's own training, within its budget of arithmetic."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from monai.bundle import ConfigParser

from scripts.bundle_config import load_config
from scripts.errors import KneeSynthError
from scripts.software import default_root
from scripts.study.cost import Cost, cost_of
from scripts.study.grid import Cell
from scripts.study.pix2pix import train_pix2pix

EPOCHS = 12
"""Points of a cell's loss curve."""
TRAINED, RUN, CONFIG = "trained.json", "run", "train.yaml"


def cell_config(cell: Cell, folder: Path, cache_dir: str) -> tuple[dict[str, Any], Cost]:
    """The complete training config of a cell, with as many steps as its budget allows, and the cost of its network.

    Raises:
        UsageError: for settings that ``train.yaml`` does not know.
    """
    fixed = {
        "seed": cell.seed,
        "cache_dir": cache_dir,
        "resume": True,
        "max_epochs": EPOCHS,
        "val_interval": EPOCHS // 3,
    }
    config = load_config(default_root() / "configs" / "train.yaml", [dict(cell.settings), fixed])
    config["run_dir"]["run_dir"] = str(folder / RUN)  # continued where it holds a run, else started
    size = tuple(config["augmentation"]["size"])
    cost = cost_of(network_of(config), (size[0], size[1]), config["loss_weights"]["recon"])
    steps = cell.budget / (cost.step_flops * config["batch_size"])
    config["samples_per_epoch"] = max(1, round(steps / EPOCHS)) * config["batch_size"]
    return config, cost


def network_of(config: dict[str, Any]) -> torch.nn.Module:
    """The network of a config, with random weights."""
    parser = ConfigParser(config)
    network: torch.nn.Module = parser.get_parsed_content("network_def")
    return network


def train_cell(cell: Cell, folder: Path, cache_dir: str) -> dict[str, Any]:
    """Train a cell unless it was trained before; an interrupted run goes on.

    Args:
        cell: what to train.
        folder: of this cell.
        cache_dir: where simulated cohorts are kept.

    Returns:
        ``run`` (folder of the run), ``parameters``, ``slice_flops``, ``step_flops``, ``steps``.

    Raises:
        KneeSynthError: if the training ended with an error.
    """
    done = folder / TRAINED
    if done.is_file():
        before: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return before
    folder.mkdir(parents=True, exist_ok=True)
    config, cost = cell_config(cell, folder, cache_dir)
    path = folder / CONFIG
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    found = {"run": str(folder / RUN), **cost.as_row()}
    if cell.adversarial:
        found |= train_pix2pix(config, folder / RUN, EPOCHS, cell.budget)
    else:
        found["steps"] = EPOCHS * config["samples_per_epoch"] // config["batch_size"]
        _run(cell, path)
    done.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def _run(cell: Cell, path: Path) -> None:
    # In a process of its own: a study of hours does not depend on what one training leaves behind in memory.
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", str(path)]
    command += ["--meta_file", str(default_root() / "configs" / "metadata.json")]
    outcome = subprocess.run(command, cwd=default_root().parent, check=False)
    if outcome.returncode:
        raise KneeSynthError(
            f"the training of {cell.key} ended with exit code {outcome.returncode}; see its log above."
        )
