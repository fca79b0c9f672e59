# SPDX-License-Identifier: Apache-2.0
"""How checks ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from scripts.errors import KneeSynthError, OutOfMemory, describe_unforeseen
from scripts.synthesis.staging import PROGRAM

T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """How one check ended.

    Args:
        name: what was checked.
        found: what was found; where it failed, also what is needed and what to do.
        exit_code: 0, or that of ``kneesynth`` for what is wrong.
    """

    name: str
    found: str
    exit_code: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.exit_code == 0


@dataclass
class Findings:
    """All checks of one run.

    Args:
        checks: in their order.
        software: see `scripts.software.software_block`.
        seconds: that they took.
    """

    checks: list[Check] = field(default_factory=list)
    software: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> list[Check]:
        """Those that failed; the exit code of a run is that of the first."""
        return [check for check in self.checks if not check.ok]

    def attempt(self, name: str, work: Callable[[], tuple[str, T]]) -> T | None:
        """Do a check and keep how it ended; whatever it raises is its failure.

        Args:
            name: what is checked.
            work: does it; gives what it found, and what later checks build on.

        Returns:
            The latter, or None where the check failed.
        """
        value = None
        try:
            found, value = work()
            check = Check(name, found)
        except KneeSynthError as error:
            check = Check(name, " ".join(str(error).split()), error.exit_code)
        except MemoryError:
            check = Check(name, "out of memory; need more; close other programs", OutOfMemory.exit_code)
        except Exception as error:
            found = f"{describe_unforeseen(error)}; need none; install the bundle and its packages anew"
            check = Check(name, found, KneeSynthError.exit_code)
        self.checks.append(check)
        return value

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "program": PROGRAM,
            "kind": "selftest",
            "status": "failed" if self.failed else "done",
            "exit_code": self.failed[0].exit_code if self.failed else 0,
            "seconds": round(self.seconds, 1),
            "software": self.software,
            "checks": [asdict(check) | {"ok": check.ok} for check in self.checks],
        }
