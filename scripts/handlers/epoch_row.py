# SPDX-License-Identifier: Apache-2.0
"""The numbers of one epoch, gathered once in one way for the curves, the log and the trackers."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.optim import Optimizer

TRAIN_COLUMNS = ("epoch", "loss", "content", "recon", "cross", "lr", "seconds")


class EpochRow:
    """Reads a trainer's epoch means and, where a validation ran in this epoch, the evaluator's metrics.

    Not a handler of its own: the handlers that report numbers own one, `attach` it, and `read` it at
    ``EPOCH_COMPLETED``. They must be listed after the validation handler, else the validation of the epoch is
    not there yet.

    Args:
        optimizer: its first group's learning rate becomes ``lr``, as it stood when the epoch began (a scheduler may
            step before the row is read).
        evaluator: the validation engine; only metrics computed within the epoch are taken.
    """

    def __init__(self, optimizer: Optimizer | None = None, evaluator: Engine | None = None) -> None:
        self.optimizer = optimizer
        self.evaluator = evaluator
        self._lr: float | None = None
        self._validated = False

    def attach(self, engine: Engine) -> None:
        """Watch the trainer ``engine`` and the evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._on_epoch_started)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._on_validated)

    def _on_epoch_started(self) -> None:
        self._validated = False
        if self.optimizer is not None:
            self._lr = float(self.optimizer.param_groups[0]["lr"])

    def _on_validated(self) -> None:
        self._validated = True

    def validation(self) -> dict[str, float]:
        """The evaluator's scalar metrics of this epoch; empty where no validation ran."""
        return scalars(self.evaluator.state.metrics) if self.evaluator is not None and self._validated else {}

    def read(self, engine: Engine) -> dict[str, float]:
        """Epoch number, training means, ``lr``, ``seconds`` (training only, without validation), validation metrics.

        A validation metric that bears a training column's name gets the prefix ``val_``.
        """
        row: dict[str, float] = {"epoch": engine.state.epoch, **scalars(engine.state.metrics)}
        if self._lr is not None:
            row["lr"] = self._lr
        row["seconds"] = float(engine.state.times.get(Events.EPOCH_COMPLETED.name) or 0.0)
        for name, value in self.validation().items():
            row[f"val_{name}" if name in row else name] = value
        return row


def scalars(metrics: dict[str, Any]) -> dict[str, float]:
    """The entries of ``metrics`` that are one number, as Python floats; all others are left out."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            found[str(name)] = float(value.detach())
        elif not isinstance(value, bool | str | bytes) and hasattr(value, "__float__"):
            try:
                found[str(name)] = float(value)
            except (TypeError, ValueError):  # an array of several values
                continue
    return found
