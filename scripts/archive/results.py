# SPDX-License-Identifier: Apache-2.0
"""``results.jsonl``: how each attempt ended, one JSON object a line, added to by each run.

For people and programs that look on; a run decides by the finished folders.
"""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from scripts.archive.pipeline import Outcome
from scripts.errors import OutputError


def results_name(part: str | None) -> str:
    """Name of the file: each shard writes its own, since not every file system lets machines share one."""
    return "results.jsonl" if part is None else f"results-{part.strip().replace('/', '-of-')}.jsonl"


class Results:
    """The file, locked while a run lives; a context.

    Args:
        path: the file; made if it is not there.

    Raises:
        OutputError: it cannot be written, or another run writes to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("ab+")
        except OSError as error:
            raise OutputError(
                f"{path.name}: {error.strerror}; need a writable output folder; choose another"
            ) from error
        try:
            with contextlib.suppress(ImportError):
                import fcntl

                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise OutputError(
                f"{path.name}: another run is at work there; need it to end first; wait, or give each its own --shard"
            ) from error
        except OSError:
            pass  # a file system without locks
        self._drop_torn_line()

    def _drop_torn_line(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        if content and not content.endswith(b"\n"):  # a run was killed at it
            self._file.truncate(content.rfind(b"\n") + 1)

    def add(self, outcome: Outcome) -> dict[str, Any]:
        """Write one attempt down.

        Returns:
            What was written.

        Raises:
            OutputError: no room.
        """
        failure = outcome.failure
        record = {
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            "series": outcome.name,
            "line": outcome.line.number,
            "source": outcome.line.text,
            "status": _status(outcome),
            "attempt": outcome.attempt,
            "seconds": outcome.seconds,
            "worker": outcome.worker,
            "exit_code": 0 if failure is None else failure.exit_code,
            "error": None if failure is None else failure.message,
        }
        try:
            self._file.write(json.dumps(record).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"results: {error.strerror}; need room in the output folder; make some") from error
        return record

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._file.tell():
            self._path.unlink()  # the run ended before its first series
        self._file.close()


def _status(outcome: Outcome) -> str:
    if outcome.failure is None:
        return "done"
    if outcome.again:
        return "retry"
    return "failed" if outcome.failure.transient else "refused"
