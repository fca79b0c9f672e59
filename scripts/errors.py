# SPDX-License-Identifier: Apache-2.0
"""The refusals of this project: each carries the exit code that `kneesynth` ends with.

A message is one line that says what was found, what is needed and what to do. It never holds a patient's name,
identifier or description.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING or "monailabel" not in sys.modules:
    Base = Exception
else:
    from starlette.exceptions import HTTPException

    class Base(HTTPException):
        """A refusal that a client of MONAI Label reads; other errors reach it as "Internal Server Error"."""

        status_code, headers = 422, None  # the request was understood, but cannot be carried out

        def __init__(self, message: str = "") -> None:
            Exception.__init__(self, message)

        __str__ = Exception.__str__
        detail = property(__str__)


_LONGEST_LINE = 500


class KneeSynthError(Base):
    """Base of every refusal; an instance of the base itself is an unexpected failure."""

    exit_code = 1


class UsageError(KneeSynthError):
    """The command line, a config or a manifest asks for something that does not exist."""

    exit_code = 2


class SourceError(KneeSynthError):
    """No source series, or several where one is needed."""

    exit_code = 3


class DecodeError(KneeSynthError):
    """A file that cannot be read or whose pixels cannot be decoded."""

    exit_code = 4


class GeometryError(KneeSynthError):
    """A stack that contradicts itself: gap, shear, duplicate place, mixed matrix, no position. Never lifted."""

    exit_code = 5


class GateError(KneeSynthError):
    """A sound series that the model was not made for.

    Args:
        message: the one-line refusal.
        liftable: whether ``--force`` may lift it; false for a modality other than MR.
    """

    exit_code = 6

    def __init__(self, message: str, liftable: bool = True) -> None:
        super().__init__(message)
        self.liftable = liftable


class WeightsError(KneeSynthError):
    """Weights that are missing, altered, or made for another network."""

    exit_code = 7


class OutputError(KneeSynthError):
    """The output cannot be written where it was asked for."""

    exit_code = 8


class OutOfMemory(KneeSynthError):
    """The device ran out of memory."""

    exit_code = 9


class FaultFound(KneeSynthError):
    """A diagnosis found what is wrong with a training run."""

    exit_code = 10


class SeriesNotMade(KneeSynthError):
    """A run over an archive came to its end, but some series were refused or failed."""

    exit_code = 11


TRANSIENT = (KneeSynthError.exit_code, OutputError.exit_code, OutOfMemory.exit_code)
"""Exit codes after which another attempt may end otherwise: a crash, a full or absent disk, memory held elsewhere."""


def refusal(exit_code: int, message: str) -> KneeSynthError:
    """The refusal that has an exit code, as one exception of its class."""
    for kind in KneeSynthError.__subclasses__():
        if kind.exit_code == exit_code:
            return kind(message)
    return KneeSynthError(message)


def printable(text: str) -> str:
    """Text without line breaks and without what a terminal would obey: headers and file names are others' words."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def one_line(message: str) -> str:
    """A message as it may be shown: printable, on one line, and without the middle where it is endless."""
    line = " ".join(printable(message).split())
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE // 2]} ... {line[-_LONGEST_LINE // 3 :]}"


def describe_unforeseen(error: BaseException) -> str:
    """Kind and place of an exception that nobody foresaw; its own text may quote a header, so that is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"unexpected {type(error).__name__}{place}"


def say_refusals_last() -> None:
    """Make an uncaught refusal end in its own line, below the traceback of the frameworks that wrapped it."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace)
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, KneeSynthError):
                sys.stderr.write(f"{type(cause).__name__}: {one_line(str(cause))}\n")
                return
            cause = cause.__cause__

    sys.excepthook = hook
