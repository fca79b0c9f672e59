# SPDX-License-Identifier: Apache-2.0
"""The moment a run has been restored and is about to train."""

from __future__ import annotations

from collections.abc import Callable

from ignite.engine import Engine, Events


def at_first_epoch(engine: Engine, act: Callable[[Engine], object]) -> None:
    """Call ``act(engine)`` once, when the first epoch of this process starts.

    By then every ``STARTED`` handler has run, so ``engine.state.epoch`` is right for a resumed run wherever the
    checkpoint stands in the list. Ignite's ``EPOCH_STARTED(once=1)`` means epoch number 1, which a resumed run
    never sees.
    """
    done = False

    def first(engine: Engine) -> None:
        nonlocal done
        if not done:
            done = True
            act(engine)

    engine.add_event_handler(Events.EPOCH_STARTED, first)
