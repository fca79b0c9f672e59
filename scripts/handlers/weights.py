# SPDX-License-Identifier: Apache-2.0
"""Put the weights of a file into a network, strictly, and say which file it was."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from scripts.errors import WeightsError

logger = logging.getLogger(__name__)


class LoadWeights:
    """Load ``model.pt``, or the network in a run's ``best.pt`` or ``last.pt``, when the engine starts.

    MONAI's ``CheckpointLoader`` leaves a network as it is where names do not match; a table of scores of random weights
    would look like a table of bad ones.

    Args:
        network: the network to fill.
        path: the file.
    """

    def __init__(self, network: nn.Module, path: str) -> None:
        self.network = network
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        """Attach to ``engine``."""
        engine.add_event_handler(Events.STARTED, self._load)

    def _load(self) -> None:
        state = read_weights(self.path)
        try:
            self.network.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(
                f"{self.path} was made for another network; need weights of this config's network_def: "
                "name others, or the config of their run."
            ) from error
        logger.info("weights: %s", describe_weights(str(self.path)))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict, or the one in a run's ``best.pt`` or ``last.pt``, onto the CPU without running any code in it.

    Of a checkpoint the averaged network is taken where there is one: it is what the run validated.

    Raises:
        WeightsError: the file is missing, damaged, or no state dict.
    """
    if not path.is_file():
        raise WeightsError(f"no weights at {path}; need a model.pt: train one, or name another with --checkpoint.")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a torn or foreign file
        raise WeightsError(f"{path} cannot be read as weights; need an unaltered model.pt: fetch it again.") from error
    if isinstance(state, Mapping) and isinstance(state.get("parts"), Mapping):
        state = _from_checkpoint(state["parts"])
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no weights; need a model.pt, or the best.pt of a run.")
    return dict(state)


def _from_checkpoint(parts: Mapping[str, Any]) -> Any:
    if "ema" not in parts:
        return parts.get("network")
    state = {name: value for name, value in parts["ema"].items() if name != "n_averaged"}  # torch's AveragedModel
    return {name.removeprefix("module."): value for name, value in state.items()}


def describe_weights(path: str) -> str:
    """The file and the start of its hash, for the head of a table.

    Raises:
        WeightsError: the file is missing.
    """
    file = Path(path)
    if not file.is_file():
        raise WeightsError(f"no weights at {path}; need a model.pt: train one, or name another with --checkpoint.")
    return f"{file}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
