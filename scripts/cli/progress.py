# SPDX-License-Identifier: Apache-2.0
"""Show how far the work is: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

# Work that is done sooner needs no word.
_SILENT_SECONDS = 2.0


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
        """Steps per second."""

        def render(self, task) -> Text:  # type: ignore[no-untyped-def]
            """Show nothing before there is a rate."""
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
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

    def tell(text: str, done: int, total: int) -> None:
        nonlocal said
        quarter = 4 * done // max(total, 1)
        if time.monotonic() - started > _SILENT_SECONDS and (text, quarter) != said:
            logger.info("%s: %d of %d", text, done, total)
            said = (text, quarter)

    return tell
