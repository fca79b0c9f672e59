# SPDX-License-Identifier: Apache-2.0
"""Put the weights of a file into a network, strictly, and say which file it was."""

from __future__ import annotations

import logging
from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from scripts.weights import describe_weights, load_weights

logger = logging.getLogger(__name__)


class LoadWeights:
    """Load ``model.pt``, or the network in a run's ``best.pt`` or ``last.pt``, when the engine starts.

    MONAI's ``CheckpointLoader`` leaves a network as it is where names do not match; a table of scores of random weights
    would look like a table of bad ones.

    Args:
        network: the network to fill.
        path: the file.
    """

    def __init__(self, network: nn.Module, path: str) -> None:
        self.network = network
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        """Attach to ``engine``."""
        engine.add_event_handler(Events.STARTED, self._load)

    def _load(self) -> None:
        load_weights(self.network, self.path)
        logger.info("weights: %s", describe_weights(str(self.path)))
