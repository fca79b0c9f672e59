# SPDX-License-Identifier: Apache-2.0
"""The numbers of ``curves.csv`` in TensorBoard and in Weights & Biases."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from scripts.errors import UsageError
from scripts.handlers.checkpoint import MODEL
from scripts.handlers.environment import versions
from scripts.handlers.epoch_row import EpochRow
from scripts.handlers.first_epoch import at_first_epoch
from scripts.handlers.panel import panel_path
from scripts.handlers.run_config import enclosing_config, plain_config
from scripts.processes import is_first_rank
from scripts.software import git_commit

logger = logging.getLogger(__name__)


class TensorBoardLog:
    """Write each epoch's numbers as TensorBoard scalars into ``tensorboard/`` of the run folder.

    MONAI's ``TensorBoardStatsHandler`` opens its event file when it is built, needs tensorboard to be there, and does
    not forget the epochs a resumed run repeats. Without tensorboard one log line says so. First rank only; list it
    after the validation handler.

    Args:
        run_dir: folder of the run.
        optimizer: gives the learning rate.
        evaluator: the validation engine.
    """

    def __init__(self, run_dir: str, optimizer: Optimizer | None = None, evaluator: Engine | None = None) -> None:
        self.folder = Path(run_dir) / "tensorboard"
        self._row = EpochRow(optimizer, evaluator)
        self._writer: Any = None

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        if not is_first_rank():
            return
        self._row.attach(engine)
        at_first_epoch(engine, self._open)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            logger.info("tensorboard is not installed: no TensorBoard log; curves.csv holds the numbers.")
            return
        self._writer = SummaryWriter(str(self.folder), purge_step=engine.state.epoch)

    def _log(self, engine: Engine) -> None:
        if self._writer is None:
            return
        validation = self._row.validation()
        for name, value in self._row.read(engine).items():
            if name != "epoch":
                group = "validation" if name in validation or name.removeprefix("val_") in validation else "train"
                self._writer.add_scalar(f"{group}/{name}", value, engine.state.epoch)
        self._writer.flush()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class WandbLog:
    """Send each epoch's numbers to Weights & Biases through Ignite's `WandBLogger`.

    Off unless asked for: it sends the configuration, commit, versions, numbers and, where `panels` says so, pictures to
    a server outside; with ``WANDB_MODE=offline`` in the environment they stay in the run folder. At the end the hash of
    ``model.pt`` joins them, to find the weights by. First rank only; list it after the validation handler.

    Args:
        run_dir: folder of the run; its name becomes the run's name and identity, so that a resumed run continues.
        project: project on the server.
        optimizer: gives the learning rate.
        evaluator: the validation engine.
        settings: further arguments of ``wandb.init`` (``mode: offline``, ``entity``, ...).
        data: what identifies the data, to stand in the configuration as ``fingerprint``; no patient's name.
        panels: send the pictures of `PanelImage`. They show patients where the data are not simulated.

    Raises:
        UsageError: wandb is not installed.
    """

    def __init__(
        self,
        run_dir: str,
        project: str = "knee-contrast-synthesis",
        optimizer: Optimizer | None = None,
        evaluator: Engine | None = None,
        settings: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        panels: bool = False,
    ) -> None:
        try:
            found = importlib.util.find_spec("wandb") is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            raise UsageError("wandb=true, but wandb is not installed; run `pip install wandb`, or leave wandb false.")
        self.run_dir = Path(run_dir)
        self.project = project
        self.settings = dict(settings or {})
        self.config = plain_config({**enclosing_config(), "fingerprint": data})
        self.panels = panels
        self._row = EpochRow(optimizer, evaluator)
        self._logger: Any = None

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        if not is_first_rank():
            return
        self._row.attach(engine)
        at_first_epoch(engine, self._open)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, _: Engine) -> None:
        from ignite.handlers import WandBLogger

        self.run_dir.mkdir(parents=True, exist_ok=True)
        given = {
            "project": self.project,
            "name": self.run_dir.name,
            "id": self.run_dir.name,
            "resume": "allow",
            "dir": str(self.run_dir),
            "config": {**self.config, "commit": git_commit(), "versions": versions()},
        }
        self._logger = WandBLogger(**(given | self.settings))

    def _log(self, engine: Engine) -> None:
        row: dict[str, Any] = {k: v for k, v in self._row.read(engine).items() if k != "epoch"}
        picture = panel_path(self.run_dir, engine.state.epoch)
        if self.panels and self._row.validation() and picture.is_file():
            row["panel"] = self._logger.Image(str(picture))
        self._logger.log(row, step=engine.state.epoch)

    def _close(self) -> None:
        if self._logger is not None:
            weights = self.run_dir / MODEL
            if weights.is_file():
                self._logger.run.summary["model_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
            self._logger.close()
            self._logger = None
