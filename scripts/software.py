# SPDX-License-Identifier: Apache-2.0
"""Which program this is and what it stands on: the block ``software`` of every report and of ``--version --json``.

Nothing in it tells whose machine it is: no host, no user, no path.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "monai", "pydicom", "highdicom", "numpy")

# Of all that a processor can do, what torch's kernels, and with them the last digits of a synthesis, depend on.
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")


def software_block(model: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Describe program, model, packages and machine.

    Args:
        model: name, version and weights_sha256 of the model that was used, if one was.
    """
    import torch

    from scripts.devices import describe, here

    return {
        "program": "kneesynth",
        "version": program_version(),
        "commit": git_commit(),
        "model": None if model is None else dict(model),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "cuda": torch.version.cuda,
        "devices": [describe(device) for device in here()],
        "system": f"{platform.system()} {platform.machine()}",
        "cpu_flags": _cpu_flags(),
    }


def default_root() -> Path:
    """The bundle that this package belongs to: its parent when packed, ``bundle`` beside it in the repository."""
    parent = Path(__file__).resolve().parents[1]
    return parent if (parent / "configs" / "inference.yaml").is_file() else parent / "bundle"


def program_version() -> str:
    """Version of the bundle that this package belongs to."""
    content = json.loads((default_root() / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return str(content["version"])


def version(package: str) -> str | None:
    """Version of an installed package, without importing it; None where it is not installed."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """Commit of the checkout this package lies in, with ``+changes`` where files differ; None outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return None
    root = str(Path(__file__).resolve().parents[1])

    def ask(*words: str) -> str | None:
        try:
            answer = subprocess.run([git, "-C", root, *words], capture_output=True, text=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    commit = ask("rev-parse", "--verify", "HEAD")
    # A packed bundle may lie inside somebody else's checkout: only our own root counts.
    if not commit or ask("rev-parse", "--show-prefix") != "":
        return None
    return f"{commit}+changes" if ask("status", "--porcelain") else commit


@lru_cache(maxsize=1)
def _cpu_flags() -> list[str]:
    """Those of `CPU_FLAGS` that the processor has; empty where the system does not say."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        lines: Iterable[str] = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
        found = set(flags.partition(":")[2].split())
    return [flag for flag in CPU_FLAGS if flag in found]
