# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint tells of the training that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scripts.errors import WeightsError


@dataclass(frozen=True)
class History:
    """The past of some weights.

    Args:
        epochs: finished epochs; 0 for weights that were just drawn, None where the file does not say.
        optimizer: state dict of the optimiser; None where the file holds none.
    """

    epochs: int | None
    optimizer: Mapping[str, Any] | None


def read_history(path: str) -> History:
    """Read epoch and optimiser state of ``last.pt`` or ``best.pt``; a bare ``model.pt`` has no history.

    Args:
        path: the file; empty for weights that were just drawn.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    if not path:
        return History(0, None)
    if not Path(path).is_file():
        raise WeightsError(f"no weights at {path}; need last.pt, best.pt or model.pt of a run; check the path.")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a torn or foreign file
        raise WeightsError(
            f"{path} cannot be read as weights; need an unaltered file of a run: copy it again."
        ) from error
    parts = state.get("parts") if isinstance(state, Mapping) else None
    if not isinstance(parts, Mapping):
        return History(None, None)
    return History(int(state["epoch"]), parts.get("optimizer"))
