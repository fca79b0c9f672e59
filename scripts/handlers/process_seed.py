# SPDX-License-Identifier: Apache-2.0
"""Chance in the network, where several processes train it together."""

from __future__ import annotations

import numpy as np
import torch
from ignite.engine import Engine, Events

from scripts.processes import rank


class SeedPerProcess:
    """Seed torch anew at each epoch, from (seed, epoch, number of the process).

    All processes begin with one seed, so that their networks are equal, and would then drop the same skips of different
    slices. A resumed run has the numbers that an uninterrupted one would have, in every process, although a checkpoint
    keeps those of the first alone.

    Args:
        seed: seed of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._seed)

    def _seed(self, engine: Engine) -> None:
        entropy = np.random.SeedSequence((self.seed, engine.state.epoch, rank()))
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))
