# SPDX-License-Identifier: Apache-2.0
"""What a run over an archive asks of whoever does the work: processors that read and write, and devices."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Generic, Protocol, TypeVar

from scripts.archive.stages import Note, Stage


def network_threads(cores: int, workers: int) -> int:
    """Threads of one network on a processor: its share of the cores but one, which is for reading and writing.

    A pass waits for its slowest thread at each layer, so a thread that has to share its core slows all others down.
    """
    return max(1, cores // workers - 1)


class Lost(Exception):
    """The process that did the work ended before it gave anything back."""


#: Work under way, and then its product; hashable, and cheap to hold: the product stays where it was made.
Call = TypeVar("Call")


class Engine(Protocol, Generic[Call]):
    """Runs stages somewhere. Products are handed on as calls and never pass through here."""

    workers: int
    """How many devices have a network each."""

    def call(self, stage: Stage, *arguments: Any) -> Call:
        """Run a stage on a processor; an argument that is a finished call stands for its product."""

    def infer(self, worker: int, target: str, data: Call) -> Call:
        """Queue what was read for a worker's network; each worker does one after the other."""

    def first_done(self, calls: Collection[Call]) -> Call:
        """Wait until one of the calls is done."""

    def note(self, call: Call) -> Note:
        """What a call has to say; waits for it where it is not done.

        Raises:
            Lost: its process ended.
        """

    def renew(self, worker: int) -> None:
        """Put a new process in the place of a worker that was lost; what it had queued is gone."""

    def close(self) -> None:
        """Stop everything that was started."""
