# SPDX-License-Identifier: Apache-2.0
"""What ends a program from outside: the keyboard, and the signal of containers and schedulers."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator

INTERRUPTED = 130
"""Exit code of what the keyboard or a signal ended."""


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM do what the keyboard does, also to process 1 of a container, which else would not hear it.

    Within another such block it counts anew, as libraries set handlers of their own. Outside of the main thread, where
    Python lets nobody set one, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def follow_the_parent() -> None:
    """In a worker process: leave interrupts to the parent, and end when it ends; killed, it cannot tell its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
