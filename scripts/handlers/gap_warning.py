# SPDX-License-Identifier: Apache-2.0
"""A word during training when it learns its patients by heart."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ignite.engine import Engine, Events

from scripts.handlers.curves import CurvesCSV
from scripts.processes import is_first_rank

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gap:
    """How training and validation have parted since the best validation.

    Attributes:
        best_epoch: of the best validation.
        loss_drop: share by which the training loss fell since then.
        score_drop: what the score lost since then, in its unit.
    """

    best_epoch: int
    loss_drop: float
    score_drop: float


def widening_gap(
    rows: Sequence[Mapping[str, float]],
    loss: str = "cross",
    score: str = "val_psnr",
    validations: int = 3,
    least_loss_drop: float = 0.02,
    least_score_drop: float = 0.1,
) -> Gap | None:
    """Whether the loss on training patients falls on while the score on validation patients gets worse.

    One worse validation is chance; so the last ones all have to lie below the best, on average by the least drop.

    Args:
        rows: one per epoch, as in ``curves.csv``; validation metrics in some of them.
        loss: the training loss, smaller is better.
        score: the validation metric, larger is better.
        validations: how many in a row after the best one.
        least_loss_drop: share by which the training loss has to have fallen since.
        least_score_drop: what the score has to have lost since, in its unit [dB].

    Returns:
        The gap, or None where there is none (yet).
    """
    validated = [row for row in rows if score in row and loss in row]
    if len(validated) <= validations:
        return None
    best = max(range(len(validated)), key=lambda index: validated[index][score])
    since = validated[best + 1 :]
    if len(since) < validations or validated[best][loss] <= 0:
        return None
    last = since[-validations:]
    gap = Gap(
        best_epoch=int(validated[best]["epoch"]),
        loss_drop=1 - sum(row[loss] for row in last) / validations / validated[best][loss],
        score_drop=validated[best][score] - sum(row[score] for row in last) / validations,
    )
    return gap if gap.loss_drop >= least_loss_drop and gap.score_drop >= least_score_drop else None


class GapWarning:
    """Log one warning, the first time that the gap between training and validation widens; training goes on.

    First rank only; list it after the curves.

    Args:
        curves: the run's table of losses and scores.
    """

    def __init__(self, curves: CurvesCSV) -> None:
        self.curves = curves
        self.warned = False

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        if is_first_rank():
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _look(self) -> None:
        gap = None if self.warned else widening_gap(self.curves.rows)
        if gap is None:
            return
        self.warned = True
        logger.warning(
            "the gap between training and validation widens: since epoch %d the training loss fell by %.0f %% and "
            "validation lost %.2f dB. It learns its patients by heart; best.pt keeps epoch %d. More patients help, or "
            "fewer epochs, a lower learning_rate, or starting from trained weights (finetune.yaml).",
            gap.best_epoch,
            100 * gap.loss_drop,
            gap.score_drop,
            gap.best_epoch,
        )
