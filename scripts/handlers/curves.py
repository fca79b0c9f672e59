# SPDX-License-Identifier: Apache-2.0
"""``curves.csv`` and ``curves.png``: what training did, epoch by epoch."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from scripts.handlers.epoch_row import TRAIN_COLUMNS, EpochRow
from scripts.handlers.files import write_text_atomically
from scripts.handlers.first_epoch import at_first_epoch
from scripts.processes import is_first_rank

logger = logging.getLogger(__name__)


class CurvesCSV:
    """Keep one row per finished epoch in ``curves.csv`` and draw ``curves.png``.

    Columns: epoch, loss, content, recon, cross (epoch means, dimensionless), lr, seconds (training only), then the
    validation metrics, blank in epochs without validation. The whole file is rewritten atomically, so columns may
    appear late. When a run is resumed, rows of epochs that are trained again are dropped. First rank only; list it
    after the validation handler.

    Args:
        run_dir: folder of the run.
        optimizer: gives the learning rate.
        evaluator: the validation engine.
        plot: whether to draw; without matplotlib one log line says so and the table is kept all the same.
    """

    def __init__(
        self,
        run_dir: str,
        optimizer: Optimizer | None = None,
        evaluator: Engine | None = None,
        plot: bool = True,
    ) -> None:
        self.run_dir = Path(run_dir)
        self.plot = plot
        self.rows: list[dict[str, float]] = []
        self._row = EpochRow(optimizer, evaluator)

    @property
    def path(self) -> Path:
        """The table."""
        return self.run_dir / "curves.csv"

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        if not is_first_rank():
            return
        self._row.attach(engine)
        at_first_epoch(engine, self._load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._append)
        engine.add_event_handler(Events.COMPLETED, self._draw)

    def _load(self, engine: Engine) -> None:
        # EPOCH_STARTED, not STARTED: by then the checkpoint has put the epoch back, wherever it stands in the list.
        self.rows = [row for row in read_curves(self.path) if row["epoch"] < engine.state.epoch]

    def _append(self, engine: Engine) -> None:
        row = self._row.read(engine)
        self.rows = [*(old for old in self.rows if old["epoch"] < row["epoch"]), row]
        write_text_atomically(self.path, format_curves(self.rows))
        if self._row.validation():
            self._draw()

    def _draw(self) -> None:
        if not self.plot or not self.rows:
            return
        try:
            from scripts.handlers.curves_plot import draw_curves
        except ImportError:
            logger.info("matplotlib is not installed: curves.png is not drawn; curves.csv holds the numbers.")
            self.plot = False
            return
        draw_curves(self.rows, self.run_dir / "curves.png")


def format_curves(rows: list[dict[str, float]]) -> str:
    """Rows as CSV text: the training columns in fixed order, then the others in order of appearance."""
    present = dict.fromkeys(name for row in rows for name in row)
    columns = [name for name in TRAIN_COLUMNS if name in present]
    columns += [name for name in present if name not in TRAIN_COLUMNS]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    # repr keeps every digit: a resumed run must be comparable with an uninterrupted one.
    for row in rows:
        writer.writerow({name: int(value) if name == "epoch" else repr(value) for name, value in row.items()})
    return text.getvalue()


def read_curves(path: Path) -> list[dict[str, float]]:
    """Read ``curves.csv`` back; blanks are left out of their row.

    Args:
        path: the table; a missing file reads as no rows.

    Raises:
        ValueError: a field that is no number (the file was edited by hand).
    """
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            {name: int(value) if name == "epoch" else float(value) for name, value in row.items() if value}
            for row in csv.DictReader(stream)
        ]
