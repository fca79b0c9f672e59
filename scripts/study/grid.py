# SPDX-License-Identifier: Apache-2.0
"""The grid of a study: which networks are trained how, on what scale and within what budget."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bundle_config import read_config
from scripts.errors import UsageError

GRIDS = Path(__file__).parent / "grids"
_KEYS = {"scale", "budget", "seeds", "lesions", "default", "cells"}


@dataclass(frozen=True)
class Cell:
    """One training of the study.

    Args:
        name: of the row; cells that differ only in their seed share it.
        seed: of weights, order and augmentation.
        settings: ids and values on top of ``train.yaml``.
        budget: floating-point operations of all training steps.
        adversarial: trained as pix2pix, see `scripts.study.pix2pix`, and not by ``train.yaml``.
    """

    name: str
    seed: int
    settings: Mapping[str, Any]
    budget: float
    adversarial: bool = False

    @property
    def key(self) -> str:
        """Name of the cell's folder: its row, its seed, and a hash of what it is trained with."""
        told = [dict(self.settings), self.budget] + (["adversarial"] if self.adversarial else [])
        content = json.dumps(told, sort_keys=True, default=str)
        return f"{self.name}-seed{self.seed}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Grid:
    """A whole study.

    Args:
        name: of the grid.
        cells: one seed after the other, so that a study that is not finished has whole rows of the first.
        default: the row that the others are compared with, knee by knee.
        knees: held-out knees that are measured.
        lesions: counterfactual pairs of each kind of lesion.
        shape: slices, rows and columns of all of them.
    """

    name: str
    cells: list[Cell]
    default: str
    knees: int
    lesions: int
    shape: tuple[int, int, int]


def read_grid(source: str | Path) -> Grid:
    """Read a grid: a name of one that comes with the study, or a YAML file.

    A grid has ``scale`` (settings that all cells share, the sizes of the cohort among them), ``budget`` (operations per
    cell), ``seeds``, ``lesions`` (pairs of each kind), ``default`` (a row) and ``cells``: by name the settings that
    make the row, with ``seeds`` of its own where it has other ones, and ``adversarial`` for pix2pix.

    Raises:
        UsageError: for a grid that is not there, or lacks or misspells a key.
    """
    path = GRIDS / f"{source}.yaml"
    path = path if path.is_file() else Path(source)
    if not path.is_file():
        names = ", ".join(sorted(one.stem for one in GRIDS.glob("*.yaml")))
        raise UsageError(f"no grid {source!r}; name one of {names}, or a YAML file.")
    content = read_config(path)
    if set(content) != _KEYS:
        raise UsageError(f"grid {path.name} has the keys {sorted(content)}; need {sorted(_KEYS)}.")
    cells = []
    for name, settings in content["cells"].items():
        own = dict(settings or {})
        seeds = own.pop("seeds", content["seeds"])
        adversarial = bool(own.pop("adversarial", False))
        told = dict(content["scale"]) | own
        cells += [Cell(str(name), int(seed), told, float(content["budget"]), adversarial) for seed in seeds]
    if content["default"] not in content["cells"]:
        raise UsageError(
            f"grid {path.name} has no row {content['default']!r}; its default needs to be one of its cells."
        )
    scale = content["scale"]
    slices, rows, columns = scale["simulated::shape"]
    return Grid(
        name=path.stem,
        cells=sorted(cells, key=lambda cell: cell.seed),
        default=str(content["default"]),
        knees=int(scale["simulated::studies"]["test"]),
        lesions=int(content["lesions"]),
        shape=(int(slices), int(rows), int(columns)),
    )
