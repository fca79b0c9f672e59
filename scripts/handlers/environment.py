# SPDX-License-Identifier: Apache-2.0
"""The machine and the software a run was made with, and the memory it took."""

from __future__ import annotations

import contextlib
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from scripts.processes import world_size
from scripts.software import version

PACKAGES = ("torch", "monai", "numpy", "pytorch-ignite")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that training stands on; absent ones are left out."""
    found = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **{name: text for name, text in found.items() if text is not None}}


def hardware(device: torch.device | None = None) -> dict[str, Any]:
    """Device of the run with its name, processor, torch's thread count, and processes where several train."""
    found: dict[str, Any] = {
        "device": str(device) if device is not None else "cpu",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
    }
    if world_size() > 1:
        found["processes"] = world_size()
    if device is not None and device.type == "cuda" and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = str(torch.version.cuda)
    return found


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_memory(device: torch.device | None = None) -> dict[str, float]:
    """Highest memory so far in MB: of this process, of its largest ended worker, and torch's on the GPU."""
    found: dict[str, float] = {}
    with contextlib.suppress(ImportError):  # absent on Windows
        import resource

        unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
        found["process"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
        found["largest_worker"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit, 1)
    if device is not None and device.type == "cuda" and torch.cuda.is_available():
        found["gpu"] = round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    return found
