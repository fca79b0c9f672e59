# SPDX-License-Identifier: Apache-2.0
"""Checkpoints a killed run resumes from as if it had never been killed."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.optim import Optimizer

from scripts.errors import UsageError, WeightsError
from scripts.handlers.epoch_row import EpochRow
from scripts.handlers.files import remove_partials, write_atomically
from scripts.handlers.training_state import plain, random_state, restore_random_state
from scripts.processes import agreed, is_first_rank

FORMAT = 1
LAST, BEST, MODEL = "last.pt", "best.pt", "model.pt"

logger = logging.getLogger(__name__)


class ResumableCheckpoint:
    """Save ``last.pt`` after each epoch, ``best.pt`` and ``model.pt`` on improvement; resume from ``last.pt``.

    ``last.pt`` and ``best.pt`` hold everything the next epoch depends on: network, EMA, optimiser, scheduler,
    whatever else is given, the random generators, epoch, best score. With shuffle and augmentation that are functions
    of (seed, epoch, index), the losses after a resume equal those of an uninterrupted run. ``model.pt`` is the bare
    state dict to synthesise with (the EMA where there is one). All three load with ``weights_only=True`` and are
    written whole or not at all. The last finished epoch is what counts; work within a cut-off epoch is done again.

    Loads on all ranks, writes on the first. List it last: what is listed after it is not in the checkpoint of its
    epoch.

    Args:
        run_dir: folder of the run.
        network: the network; wrappers for several processes or compilation are looked through.
        optimizer: its optimiser.
        lr_scheduler: anything with ``state_dict`` and ``load_state_dict``.
        ema: the averaged copy of the network, if any (`torch.optim.swa_utils.AveragedModel` or a plain module).
        evaluator: the validation engine; without it ``best.pt`` does not come to be and ``model.pt`` follows the last
            epoch.
        key_metric: name of the evaluator's metric that decides; larger is better.
        objects: further things to keep, by name (early stop, gradient scaler, ...); each has ``state_dict`` and
            ``load_state_dict``.
        resume: continue from ``last.pt`` if it is there.
    """

    def __init__(
        self,
        run_dir: str,
        network: nn.Module,
        optimizer: Optimizer,
        lr_scheduler: Any | None = None,
        ema: nn.Module | None = None,
        evaluator: Engine | None = None,
        key_metric: str = "val_psnr",
        objects: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        self.run_dir = Path(run_dir)
        self.network = network
        self.ema = ema
        self.evaluator = evaluator
        self.key_metric = key_metric
        self.resume = resume
        self.best_metric = -math.inf
        self.best_epoch = 0
        self._row = EpochRow(evaluator=evaluator)
        parts = {"network": bare(network), "ema": ema, "optimizer": optimizer, "lr_scheduler": lr_scheduler}
        self._parts: dict[str, Any] = {name: part for name, part in parts.items() if part is not None}
        for name, part in (objects or {}).items():
            if name in self._parts:
                raise UsageError(f"checkpoint object '{name}' has the name of a built-in part; give it another.")
            if part is not None:
                self._parts[name] = part

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        self._row.attach(engine)
        engine.add_event_handler(Events.STARTED, self._restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def state(self, engine: Engine) -> dict[str, Any]:
        """Everything the epoch after this one depends on, in tensors and primitive containers."""
        return {
            "format": FORMAT,
            "epoch": int(engine.state.epoch),
            "epoch_length": engine.state.epoch_length,
            "best_metric": float(self.best_metric),
            "best_epoch": int(self.best_epoch),
            "key_metric": self.key_metric,
            "random": random_state(),
            "parts": {name: plain(part.state_dict(), name) for name, part in self._parts.items()},
        }

    def _save(self, engine: Engine) -> None:
        improved = self._compare(engine)
        if not is_first_rank():
            return
        state = self.state(engine)
        # best before last: after a kill in between, the repeated epoch writes the same best again.
        if improved:
            self._write(BEST, state)
        if improved or self.best_epoch == 0:
            self._write(MODEL, {name: value.detach().cpu() for name, value in self._model().state_dict().items()})
        self._write(LAST, state)

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_atomically(self.run_dir / name, lambda stream: torch.save(content, stream))

    def _model(self) -> nn.Module:
        return bare(self.network if self.ema is None else self.ema)

    def _compare(self, engine: Engine) -> bool:
        metrics = self._row.validation()
        if not metrics:
            return False
        if self.key_metric not in metrics:
            raise UsageError(f"key metric '{self.key_metric}' is not among those of the validation: {sorted(metrics)}.")
        value = metrics[self.key_metric]
        if not value > self.best_metric:  # also false for NaN, which never becomes the best
            return False
        self.best_metric, self.best_epoch = value, int(engine.state.epoch)
        return True

    def _restore(self, engine: Engine) -> None:
        path = self.run_dir / LAST
        if not self.resume:
            if path.is_file():
                raise UsageError(
                    f"{self.run_dir} already holds a training run; need a new folder, or leave to continue: "
                    "give another run_dir, or resume=true."
                )
            return
        if is_first_rank():
            remove_partials(self.run_dir)
        state = load_checkpoint(path) if path.is_file() else None
        agreed(str(state["epoch"] if state else 0), f"the last finished epoch in {self.run_dir}")
        if state is None:
            logger.info("%s holds no finished epoch: training starts at the first.", self.run_dir)
            return
        self._check(state, engine, path)
        for name, part in self._parts.items():
            try:
                part.load_state_dict(state["parts"][name])
            except (RuntimeError, ValueError, KeyError) as error:
                reason = str(error).splitlines()[0]
                raise WeightsError(
                    f"{path}: its {name} does not fit this configuration ({reason}); "
                    "resume with the configuration of that run (config.yaml beside it), or start without resume."
                ) from error
        restore_random_state(state["random"])
        self.best_metric, self.best_epoch = state["best_metric"], state["best_epoch"]
        own: Any = self.evaluator.state if self.evaluator is not None else None
        if self.best_epoch and hasattr(own, "best_metric"):  # MONAI's engines keep and announce their own best
            own.best_metric, own.best_metric_epoch = self.best_metric, self.best_epoch
        engine.state.epoch = state["epoch"]
        engine.state.iteration = state["epoch"] * (engine.state.epoch_length or state["epoch_length"] or 0)
        logger.info("resumed from %s after epoch %d.", path, state["epoch"])

    def _check(self, state: dict[str, Any], engine: Engine, path: Path) -> None:
        if set(state["parts"]) != set(self._parts):
            raise WeightsError(
                f"{path} holds {sorted(state['parts'])}, this configuration needs {sorted(self._parts)}; "
                "resume with the configuration of that run (config.yaml beside it)."
            )
        here, there = engine.state.epoch_length, state["epoch_length"]
        if here and there and here != there:
            raise WeightsError(
                f"{path} was made with {there} batches per epoch, this run has {here}; "
                "resume with the same data and batch size, or start without resume."
            )


def bare(network: nn.Module) -> nn.Module:
    """The network itself, without the wrappers of DDP, ``torch.compile`` or `AveragedModel`."""
    network = getattr(network, "_orig_mod", network)
    wrappers = (nn.parallel.DistributedDataParallel, nn.DataParallel, torch.optim.swa_utils.AveragedModel)
    return bare(network.module) if isinstance(network, wrappers) else network


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read ``last.pt`` or ``best.pt`` onto the CPU without running any code in it.

    Raises:
        WeightsError: the file is missing, damaged, or not one of ours.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a torn or foreign file
        raise WeightsError(f"{path} cannot be read as a checkpoint; restore it, or start without resume.") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise WeightsError(f"{path} is no training checkpoint of format {FORMAT}; need last.pt or best.pt of a run.")
    return state
