# SPDX-License-Identifier: Apache-2.0
"""What certain weights make of the phantom, in coarse numbers: stored beside them, and compared by each selftest.

The statistic is the mean of the synthesis in blocks of `BLOCK` pixels a side, slice by slice. Processors and GPUs round
differently (bfloat16 keeps eight bits of a number), which moves single pixels by several thousandths of the fixed
scale; over a block that averages out, while a fault moves whole blocks together. What is stored was computed in float32
without bfloat16, as every machine does alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.errors import KneeSynthError, OutputError
from scripts.synthesis.bundle import SELFTEST

if TYPE_CHECKING:
    import torch

BLOCK = 16

TOLERANCE = 0.003
"""Largest difference of a block of a synthesis, in units of the fixed scale. bfloat16 with the present weights makes a
quarter of it; the mildest fault of `tests/selftest`, another quantile in the normalisation, twice it."""

INPUT_TOLERANCE = 0.0005
"""The same for what the network is given: float32 on every machine, so nothing but the last digits differs."""

REPAIR = "install the bundle and its packages anew, and use nothing that this machine writes until it agrees"

_UNIT = 1e-4


@dataclass(frozen=True)
class Results:
    """Blocks of both directions' syntheses, and of what the network is given for each.

    Args:
        weights_sha256: the weights that made them.
        blocks: by name, float (slices, rows, columns) of blocks, in units of the fixed scale.
    """

    weights_sha256: str
    blocks: Mapping[str, np.ndarray]


def blocks_of(volume: torch.Tensor) -> np.ndarray:
    """Means of the blocks of a volume (slices, rows, columns), whose sides are multiples of `BLOCK`."""
    slices, rows, columns = volume.shape
    blocks = volume.numpy().reshape(slices, rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float64))


def compare(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> str:
    """Compare blocks.

    Args:
        found: what came out here.
        expected: what should have.
        tolerance: see `TOLERANCE`.
        what: what was expected, for people.

    Returns:
        How far they are apart.

    Raises:
        KneeSynthError: too far.
    """
    apart = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    if not apart <= tolerance:
        raise KneeSynthError(f"differs from {what} by {apart:.4f}; need at most {tolerance}; {REPAIR}")
    return f"{apart:.4f} from {what}, at most {tolerance}"


def read_results(root: Path, weights_sha256: str) -> Results | None:
    """The stored results of some weights, or None where there are none.

    Args:
        root: bundle folder.
        weights_sha256: of the weights in use.

    Raises:
        KneeSynthError: the file is damaged.
    """
    path = root / SELFTEST
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        blocks = {name: _UNIT * np.array(values, dtype=np.float64) for name, values in content["blocks"].items()}
        results = Results(str(content["weights_sha256"]), blocks)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KneeSynthError(f"{SELFTEST}: damaged; need it as it was made; install the bundle again") from error
    return results if results.weights_sha256 == weights_sha256 else None


def write_results(root: Path, results: Results) -> Path:
    """Store results in a bundle, in place of what is stored there.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {
        "weights_sha256": results.weights_sha256,
        "unit": _UNIT,
        "blocks": {name: np.rint(values / _UNIT).astype(int).tolist() for name, values in results.blocks.items()},
    }
    path = root / SELFTEST
    try:
        path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{SELFTEST}: {error.strerror}; need a writable bundle; store where it is") from error
    return path
