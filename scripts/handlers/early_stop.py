# SPDX-License-Identifier: Apache-2.0
"""Stop when validation no longer gets better."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping

from scripts.errors import UsageError
from scripts.handlers.epoch_row import EpochRow

logger = logging.getLogger(__name__)


class EarlyStop:
    """Ignite's `EarlyStopping`, counted in validations, attached to the trainer, and resumable.

    MONAI's ``EarlyStopHandler`` must be told its trainer after both engines exist, which a config cannot write, and
    keeps its counter to itself, so that a resumed run would wait longer than an uninterrupted one. Runs on all
    ranks: the validation metric is the same on each. List it after the validation handler.

    Args:
        evaluator: the validation engine.
        patience: validations without improvement before training ends.
        metric: name of the evaluator's metric; larger is better.
        min_delta: smallest rise that counts as improvement, in the metric's unit.
    """

    def __init__(self, evaluator: Engine, patience: int, metric: str = "val_psnr", min_delta: float = 0.0) -> None:
        if patience < 1:
            raise UsageError(f"early stop patience is {patience}; need at least 1 validation.")
        self.patience = patience
        self.metric = metric
        self.min_delta = min_delta
        self._row = EpochRow(evaluator=evaluator)
        self._counter: EarlyStopping | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        self._counter = EarlyStopping(self.patience, self._score, engine, threshold=self.min_delta)
        self._row.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._check)

    def _score(self, _: Engine) -> float:
        metrics = self._row.validation()
        if self.metric not in metrics:
            raise UsageError(f"early stop on '{self.metric}', but the validation has: {', '.join(sorted(metrics))}.")
        return metrics[self.metric]

    def _check(self, engine: Engine) -> None:
        if not self._row.validation():
            return
        counter = self._attached()
        counter(engine)
        if engine.should_terminate:
            logger.info(
                "early stop after epoch %d: %s has not risen over %d validations.",
                engine.state.epoch,
                self.metric,
                counter.counter,
            )

    def _attached(self) -> EarlyStopping:
        if self._counter is None:
            raise RuntimeError("EarlyStop is not attached to a trainer yet.")
        return self._counter

    def state_dict(self) -> dict[str, Any]:
        """Counter and best score, in plain Python types."""
        counter = self._attached()
        return {"counter": counter.counter, "best_score": counter.best_score}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the counter where a checkpoint left it."""
        counter = self._attached()
        counter.counter = int(state["counter"])
        counter.best_score = state["best_score"]
        if counter.counter >= self.patience:  # killed between the last save and the orderly end
            counter.trainer.terminate()
