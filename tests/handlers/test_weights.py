# SPDX-License-Identifier: Apache-2.0
"""Weights are loaded whole or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from scripts.errors import WeightsError
from scripts.handlers.weights import LoadWeights
from scripts.weights import describe_weights, started_from


def start(network: nn.Module, path: Path) -> None:
    engine = Engine(lambda _, batch: batch)
    LoadWeights(network, str(path)).attach(engine)
    engine.run([0])


def test_the_network_holds_the_weights_of_the_file(tmp_path: Path) -> None:
    made, network = nn.Linear(3, 2), nn.Linear(3, 2)
    torch.save(made.state_dict(), tmp_path / "model.pt")
    start(network, tmp_path / "model.pt")
    torch.testing.assert_close(network.state_dict(), made.state_dict())
    other = tmp_path / "other.pt"
    torch.save(nn.Linear(3, 2).state_dict(), other)
    names = [describe_weights(str(path)).split("sha256 ")[1] for path in (tmp_path / "model.pt", other)]
    assert names[0] != names[1] and all(len(name) == 16 for name in names)


def test_of_a_checkpoint_the_averaged_network_is_taken(tmp_path: Path) -> None:
    trained, network = nn.Linear(3, 2), nn.Linear(3, 2)
    average = torch.optim.swa_utils.AveragedModel(nn.Linear(3, 2))
    parts = {"network": trained.state_dict(), "optimizer": {"lr": 0.1}}
    torch.save({"format": 1, "parts": parts}, tmp_path / "best.pt")
    start(network, tmp_path / "best.pt")
    torch.testing.assert_close(network.state_dict(), trained.state_dict())
    torch.save({"format": 1, "parts": parts | {"ema": average.state_dict()}}, tmp_path / "best.pt")
    start(network, tmp_path / "best.pt")
    torch.testing.assert_close(network.state_dict(), average.module.state_dict())


def test_what_is_no_fitting_state_dict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(WeightsError, match="no weights at"):
        start(nn.Linear(3, 2), path)
    with pytest.raises(WeightsError, match="no weights at"):
        describe_weights(str(path))
    torch.save(nn.Linear(3, 2).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="cannot be read"):
        start(nn.Linear(3, 2), path)
    for empty in ({"epoch": 3, "parts": {}}, {"epoch": 3}, [torch.zeros(3)]):
        torch.save(empty, path)
        with pytest.raises(WeightsError, match="holds no weights"):
            start(nn.Linear(3, 2), path)
    torch.save({"weight": torch.zeros(2, 3)}, path)
    network = nn.Linear(3, 2)
    with pytest.raises(WeightsError, match="another network"):
        start(network, path)


def test_training_starts_from_given_weights_or_from_the_network_as_it_is(tmp_path: Path) -> None:
    made, network = nn.Linear(3, 2), nn.Linear(3, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.testing.assert_close(started_from(network, "").state_dict(), before)
    torch.save(made.state_dict(), tmp_path / "model.pt")
    torch.testing.assert_close(started_from(network, str(tmp_path / "model.pt")).state_dict(), made.state_dict())
    with pytest.raises(WeightsError, match="no weights at"):
        started_from(network, str(tmp_path / "other.pt"))
