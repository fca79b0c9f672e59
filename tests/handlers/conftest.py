# SPDX-License-Identifier: Apache-2.0
"""A training small enough for a test and real enough to go wrong: plain Ignite engines, dropout, Adam, a schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

BATCHES = 3


@dataclass
class Toy:
    """Trainer and evaluator; ``scores`` gives the key metric of each validation by epoch, from 1."""

    seed: int = 0
    max_epochs: int = 4
    validate_every: int = 1
    batches: int = BATCHES
    width: int = 5
    scores: Callable[[int], float] = lambda epoch: 20.0 + epoch
    kill_in: tuple[int, int] | None = None  # (epoch, batch) at which training is cut off
    history: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.network = nn.Sequential(nn.Linear(4, self.width), nn.Dropout(0.3), nn.Linear(self.width, 4))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.05, weight_decay=1e-4)
        self.lr_scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.7)
        self.trainer = Engine(self._step)
        self.evaluator = Engine(self._validate)
        self._sums = torch.zeros(4)
        self.trainer.add_event_handler(Events.EPOCH_STARTED, lambda: self._sums.zero_())
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._means)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: self.lr_scheduler.step())
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED(every=self.validate_every), self._run_evaluator)

    def _step(self, engine: Engine, index: int) -> dict[str, Any]:
        epoch = engine.state.epoch
        if self.kill_in == (epoch, index + 1):
            raise KeyboardInterrupt
        source = torch.Generator().manual_seed(
            1000 * self.seed + 100 * epoch + index
        )  # a function of seed, epoch, index
        image = torch.rand(8, 4, generator=source)
        self.network.train()
        self.optimizer.zero_grad()
        cross = (self.network(image) - image.flip(1)).abs().mean()
        loss = cross + 0.05 * cross.detach()
        loss.backward()
        self.optimizer.step()
        self._sums += torch.stack([loss, cross * 0.1, cross * 0.5, cross]).detach()
        return {"loss": loss.detach()}

    def _means(self, engine: Engine) -> None:
        values = (self._sums / self.batches).tolist()
        engine.state.metrics.update(zip(("loss", "content", "recon", "cross"), values, strict=True))
        self.history[engine.state.epoch] = values[0]

    def _run_evaluator(self, engine: Engine) -> None:
        self._epoch = engine.state.epoch
        self.evaluator.run([0, 1], max_epochs=1)

    def _validate(self, engine: Engine, index: int) -> list[dict[str, torch.Tensor]]:
        score = self.scores(self._epoch)
        engine.state.metrics.update(val_psnr=score, psnr_PD_to_PDFS=score - 1, psnr_PDFS_to_PD=score + 1, val_cross=0.1)
        return [case(index)]

    def run(self) -> None:
        self.trainer.run(range(self.batches), max_epochs=self.max_epochs)

    def run_until_killed(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.run()


def case(index: int, depth: int = 3, height: int = 24, width: int = 32) -> dict[str, torch.Tensor]:
    """One validation case as the evaluator leaves it: four volumes ``(1, D, H, W)``."""
    ramp = torch.linspace(0, 1, width).expand(1, depth, height, width)
    return {
        "image": ramp * (0.5 + 0.1 * index),
        "label": 1 - ramp,
        "pred": (1 - ramp) * 0.8,
        "pred_reverse": ramp * 0.4,
    }


@pytest.fixture
def toy() -> type[Toy]:
    return Toy


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "run"
