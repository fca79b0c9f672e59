# SPDX-License-Identifier: Apache-2.0
"""Whether there is room: on disk where results and temporary files go, and in memory."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from scripts.errors import OutOfMemory, OutputError

# A large series, 40 slices of 512 x 512, takes a little less memory than this, and a fifth of this room.
NEEDED_MEMORY = 2**30
NEEDED_ROOM = 200 * 10**6

_CGROUP = Path("/sys/fs/cgroup")


def check_room(place: Path) -> tuple[str, None]:
    """Look for free space.

    Args:
        place: an existing folder.

    Returns:
        What is free, and nothing.

    Raises:
        OutputError: too little.
    """
    free = shutil.disk_usage(place).free
    if free < NEEDED_ROOM:
        raise OutputError(
            f"{free / 1e6:.0f} MB free in {place.name or '/'}; need {NEEDED_ROOM / 1e6:.0f}; make room, or name "
            "another by -o"
        )
    return f"{free / 1e9:.1f} GB free", None


def check_memory() -> tuple[str, None]:
    """Look for free memory, that of the container where there is a limit.

    Returns:
        What is free, this process's own share included, and nothing.

    Raises:
        OutOfMemory: too little.
    """
    free = available_memory()
    if free is None:
        return "not told by this system", None
    if free < NEEDED_MEMORY:
        raise OutOfMemory(
            f"{free / 2**30:.2f} GiB of memory; need {NEEDED_MEMORY / 2**30:.0f} GiB for a large series; close other "
            "programs, or raise the container's limit"
        )
    return f"{free / 2**30:.1f} GiB", None


def available_memory() -> int | None:
    """Bytes that this process may have in all: the system's or the container's limit, whichever is nearer."""
    free = [value for value in (_system_memory(), _container_memory()) if value is not None]
    return min(free) + _own_memory() if free else None


def _system_memory() -> int | None:
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    return None


def _container_memory() -> int | None:
    with contextlib.suppress(OSError, ValueError, KeyError):  # no such file, or the word "max"
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        # Cached files count as used, but give way to whoever needs memory.
        return limit - used + int(stat["inactive_file"]) + int(stat["active_file"])
    return None


def _own_memory() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
