# SPDX-License-Identifier: Apache-2.0
"""What a training process of a test leaves for the test to look at; configs name it as ``keep`` (see PYTHONPATH)."""

from __future__ import annotations

from pathlib import Path

import torch
from ignite.engine import Engine, Events

from scripts.processes import rank


class Steps:
    """Keep each process's gradients of the first step, its weights and their average after the last, and its slices."""

    def __init__(self, folder: str, network: torch.nn.Module, ema: torch.nn.Module) -> None:
        self.path, self.network, self.ema = Path(folder) / f"rank{rank()}.pt", network, ema
        self.gradients: dict[str, torch.Tensor] = {}
        self.origins: list[torch.Tensor] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._look)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _look(self, engine: Engine) -> None:
        self.origins.append(engine.state.output[0]["label"].mean((1, 2, 3)))
        if engine.state.iteration == 1:
            named = self.network.named_parameters()
            self.gradients = {name: value.grad.clone() for name, value in named if value.grad is not None}

    def _write(self, engine: Engine) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = {
            "steps": engine.state.iteration,
            "metrics": dict(engine.state.metrics),
            "gradients": self.gradients,
            "weights": self.network.state_dict(),
            "average": self.ema.state_dict(),
            "slices": self.origins,
        }
        torch.save(kept, self.path)


def scores(evaluator: Engine, folder: str) -> None:
    """Keep the scores of a validation as this process knows them, and how many patients it had."""
    path = Path(folder) / f"rank{rank()}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"metrics": dict(evaluator.state.metrics), "patients": evaluator.state.epoch_length}, path)
