# SPDX-License-Identifier: Apache-2.0
"""Show how far the work is: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

logger = logging.getLogger(__name__)

# Work that is done sooner needs no word.
_SILENT_SECONDS = 2.0

# Without a terminal: a line for each quarter, and at least this often.
_LINE_SECONDS = 60.0

# Long enough for a rate where one step takes minutes.
_RATE_SECONDS = 600.0


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Hand out a function to call with what is being done, steps done and steps in all."""
    if sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        yield _lines()


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Steps per second or minute."""

        def render(self, task) -> Text:  # type: ignore[no-untyped-def]
            """Show nothing before there is a rate."""
            return Text(_rate(task.speed or 0))

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, speed_estimate_period=_RATE_SECONDS) as bar:
        tasks: dict[str, int] = {}

        def tell(text: str, done: int, total: int) -> None:
            for name, task in tasks.items():
                if name != text:
                    bar.update(task, visible=False)  # type: ignore[arg-type]
            if text not in tasks:
                tasks[text] = bar.add_task(text, total=total)
            bar.update(tasks[text], completed=done, total=total, visible=True)  # type: ignore[arg-type]

        yield tell


def _lines() -> Callable[[str, int, int], None]:
    started = time.monotonic()
    said: tuple[str, int] = ("", 0)
    said_at = started
    begun: dict[str, tuple[float, int]] = {}

    def tell(text: str, done: int, total: int) -> None:
        nonlocal said, said_at
        now = time.monotonic()
        since, before = begun.setdefault(text, (now, done))
        quarter = 4 * done // max(total, 1)
        if now - started > _SILENT_SECONDS and ((text, quarter) != said or now - said_at > _LINE_SECONDS):
            speed = (done - before) / (now - since) if now > since else 0.0
            ahead = f", {_rate(speed)}, {timedelta(seconds=round((total - done) / speed))} left" if speed else ""
            logger.info("%s: %d of %d%s", text, done, total, ahead if done < total else "")
            said, said_at = (text, quarter), now

    return tell


def _rate(per_second: float) -> str:
    if not per_second:
        return ""
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min"
