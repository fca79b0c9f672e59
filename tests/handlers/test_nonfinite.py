# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from scripts.errors import KneeSynthError
from scripts.handlers.nonfinite import StopOnNonFinite, describe, loss_of


def run_losses(losses: list[float], run_dir: Path, interval: int | None) -> Engine:
    network = torch.nn.Linear(2, 1)
    trainer = Engine(lambda engine, batch: {"loss": torch.tensor(losses[batch["origin"][0]])})
    StopOnNonFinite(str(run_dir), network, interval).attach(trainer)
    trainer.run([{"origin": [k], "image": torch.zeros(1)} for k in range(len(losses))], max_epochs=2)
    return trainer


@pytest.mark.parametrize("interval", [None, 1, 2, 50])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_bad_batch_is_named(run_dir: Path, interval: int, value: float) -> None:
    with pytest.raises(KneeSynthError, match=r"epoch 1, batch 3 of 5 \(origin 2\)"):
        run_losses([1.0, 1.0, value, value, 1.0], run_dir, interval)
    state = torch.load(run_dir / "nonfinite.pt", weights_only=True)
    assert (state["epoch"], state["batch"]) == (1, 3)
    assert set(state["network"]) == {"weight", "bias"}


def test_finite_losses_pass(run_dir: Path) -> None:
    assert run_losses([1.0, 2.0, 3.0], run_dir, 2).state.epoch == 2
    assert not run_dir.exists()


@pytest.mark.parametrize(
    "output",
    [{"loss": torch.tensor(2.0)}, [{"loss": torch.tensor(2.0)}, {"loss": torch.tensor(2.0)}], 2.0, torch.tensor(2.0)],
    ids=["dict", "decollated", "number", "tensor"],
)
def test_the_loss_is_found_in_any_output(output: Any) -> None:
    assert loss_of(output).item() == 2.0


def test_a_batch_is_described_by_what_it_has() -> None:
    batch = {"index": torch.tensor([3, 7]), "slice": [11, 0], "image": torch.zeros(2)}
    assert describe(batch, ("index", "slice", "case")) == " (index 3, 7; slice 11, 0)"
    assert describe([{"index": 3}, {"index": 7}], ("index",)) == " (index 3, 7)"
    assert describe({"origin": torch.tensor([[3, 11], [7, 0]])}, ("origin",)) == " (origin [3, 11], [7, 0])"
    assert describe(torch.zeros(3), ("index",)) == ""
