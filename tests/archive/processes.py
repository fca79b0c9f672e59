# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of running processes: whose child, how much memory, where they listen."""

from __future__ import annotations

import os
import re
from pathlib import Path


def environment_of(pid: int) -> dict[str, str]:
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    return dict(item.decode(errors="replace").split("=", 1) for item in content.split(b"\0") if b"=" in item)


def marked(name: str, value: str) -> list[int]:
    """Processes, this one apart, that have a variable from whoever started them, whatever has become of that one."""
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [pid for pid in numbers if pid != os.getpid() and environment_of(pid).get(name) == value]


def memory_of(pid: int) -> int:
    """Resident bytes that nobody else's file stands for: the heap, and shared memory; 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return 1024 * sum(int(number) for number in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", status))


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def listening_elsewhere(pids: list[int]) -> list[str]:
    """Addresses, in the kernel's hexadecimal form, at which processes listen for others than this machine."""
    inodes = set()
    for pid in pids:
        try:
            links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        inodes |= {link[8:-1] for link in links if link.startswith("socket:[")}
    loopback = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes and words[1].split(":")[0] not in loopback:
                found.append(words[1])
    return found
