# SPDX-License-Identifier: Apache-2.0
"""What a person watches: one line per epoch, and on a terminal a bar with rate and time left."""

from __future__ import annotations

import logging
import sys
from typing import Any

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from scripts.handlers.epoch_row import EpochRow
from scripts.processes import is_first_rank

logger = logging.getLogger(__name__)


class EpochLog:
    """Log one line per epoch; where stderr is a terminal and rich is installed, show a progress bar as well.

    The bar counts batches over all epochs and never reads the loss within an epoch, which would make a GPU wait.
    First rank only; list it after the validation handler.

    Args:
        optimizer: gives the learning rate.
        evaluator: the validation engine.
        bar: whether to show the bar; by default as the terminal decides.
    """

    def __init__(
        self, optimizer: Optimizer | None = None, evaluator: Engine | None = None, bar: bool | None = None
    ) -> None:
        self.bar = bar
        self._row = EpochRow(optimizer, evaluator)
        self._progress: Any = None
        self._task: Any = None
        self._redirected: list[tuple[logging.StreamHandler[Any], Any]] = []

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        if not is_first_rank():
            return
        self._row.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)
        if sys.stderr.isatty() if self.bar is None else self.bar:
            engine.add_event_handler(Events.EPOCH_STARTED, self._show)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
            engine.add_event_handler(Events.COMPLETED, self._close)
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _log(self, engine: Engine) -> None:
        logger.info("%s", format_row(self._row.read(engine), engine.state.max_epochs))

    def _show(self, engine: Engine) -> None:
        if self.bar is False:
            return
        if self._progress is None:
            try:
                from rich.console import Console
                from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
            except ImportError:
                logger.info("rich is not installed: no progress bar, one line per epoch.")
                self.bar = False
                return
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("batches · {task.fields[rate]}"),
                TextColumn("· left"),
                TimeRemainingColumn(),
            )
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            length = engine.state.epoch_length
            total = length * engine.state.max_epochs if length and engine.state.max_epochs else None
            self._task = self._progress.add_task("", total=total, completed=engine.state.iteration, rate="")
            before = sys.stdout, sys.stderr
            self._progress.start()
            self._redirect(dict(zip(before, (sys.stdout, sys.stderr), strict=True)))
        self._progress.update(self._task, description=f"epoch {engine.state.epoch}/{engine.state.max_epochs or '?'}")

    def _advance(self, engine: Engine) -> None:
        if self._progress is None:
            return
        speed = self._progress.tasks[0].speed
        self._progress.update(self._task, completed=engine.state.iteration, rate=f"{speed:.1f}/s" if speed else "")

    def _redirect(self, streams: dict[Any, Any]) -> None:
        # Log handlers hold the stream they were made with and would write through the bar; rich has put its own in
        # place of sys.stdout and sys.stderr, which prints above the bar.
        loggers = [logging.root, *(item for item in logging.root.manager.loggerDict.values())]
        for owner in loggers:
            for handler in getattr(owner, "handlers", ()):
                if isinstance(handler, logging.StreamHandler) and handler.stream in streams:
                    self._redirected.append((handler, handler.stream))
                    handler.setStream(streams[handler.stream])

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        for handler, stream in self._redirected:
            handler.setStream(stream)
        self._redirected.clear()

    def _fail(self, _: Engine, error: BaseException) -> None:
        self._close()
        raise error  # Ignite swallows an exception that a handler has seen


def format_row(row: dict[str, float], max_epochs: int | None = None) -> str:
    """One epoch as one line: losses to four digits, learning rate, seconds, then validation where it ran."""
    width = len(str(max_epochs or ""))
    parts = [f"epoch {int(row['epoch']):>{width}}" + (f"/{max_epochs}" if max_epochs else "")]
    for name, value in row.items():
        if name == "lr":
            parts.append(f"lr {value:.2e}")
        elif name == "seconds":
            parts.append(f"{value:.1f} s/epoch")
        elif name != "epoch":
            parts.append(f"{name} {value:.2f}" if "psnr" in name else f"{name} {value:.4f}")
    return "  ".join(parts)
