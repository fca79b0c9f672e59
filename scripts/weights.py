# SPDX-License-Identifier: Apache-2.0
"""Weights of a file into a network: strictly, and without running any code in the file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scripts.errors import WeightsError


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network; every key must fit, since a half-filled network synthesises too.

    Args:
        network: the network to fill.
        path: see `read_weights`.

    Raises:
        WeightsError: the file cannot be read, or was made for another network.
    """
    state = read_weights(path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} was made for another network; need weights of this config's network_def: "
            "name others, or the config of their run."
        ) from error


def started_from(network: nn.Module, weights: str) -> nn.Module:
    """A network to train: as it is, or with the weights of a file to go on from (fine-tuning).

    Args:
        network: the network.
        weights: a ``model.pt``, or a run's ``best.pt``; empty leaves the network as it was drawn.

    Raises:
        WeightsError: see `load_weights`.
    """
    if weights:
        load_weights(network, Path(weights))
    return network


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
