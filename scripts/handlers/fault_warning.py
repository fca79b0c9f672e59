# SPDX-License-Identifier: Apache-2.0
"""A word during training when settings and curves already show that it goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events

from scripts.diagnosis.run import diagnose
from scripts.diagnosis.static import static_evidence
from scripts.diagnosis.trend import read_trend
from scripts.handlers.curves import CurvesCSV
from scripts.handlers.run_config import enclosing_config, look_up
from scripts.processes import is_first_rank

_OF_THE_NETWORK = ("cross_domain_strategy", "same_domain_use_skip")

logger = logging.getLogger(__name__)


class FaultWarning:
    """Log one warning, the first time that settings or curves show a fault; training goes on.

    Looks at numbers that are there anyway: no image goes through the network for it. First rank only; list it after the
    curves.

    Args:
        curves: the run's table of losses.
        settings: arguments of `scripts.diagnosis.static.static_evidence`; what the network's settings say of skips is
            added.
        thresholds: those of `scripts.diagnosis.thresholds.Thresholds` that are to differ from their defaults.
        run_dir: folder of the run, for the command that the warning names.
        network_id: id of the network's settings in the configuration; a network of another kind may have none of ours.
    """

    def __init__(
        self,
        curves: CurvesCSV,
        settings: Mapping[str, Any],
        thresholds: Mapping[str, float] | None = None,
        run_dir: str = "",
        network_id: str = "network_def",
    ) -> None:
        self.curves = curves
        config = enclosing_config()
        network = look_up(config, config.get(network_id, {}))
        told = (
            {name: network[name] for name in _OF_THE_NETWORK if name in network} if isinstance(network, Mapping) else {}
        )
        self.static = static_evidence(**{**told, **settings})
        self.thresholds = thresholds
        self.run_dir = run_dir
        self.warned = False

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        if is_first_rank():
            engine.add_event_handler(Events.STARTED, self._look)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _look(self) -> None:
        if self.warned:
            return
        trend = read_trend(self.curves.rows)
        epochs = trend.epochs if trend is not None else 0
        found = diagnose(self.static, None, trend, epochs, self.thresholds, run_dir=self.run_dir)
        if found.verdict.is_fault:
            self.warned = True
            logger.warning(
                "this training may be going wrong (%s): %s %s For the whole evidence: kneesynth diagnose %s",
                found.verdict.kind.value,
                found.verdict.sentence,
                " ".join(found.verdict.reasons),
                self.run_dir,
            )
