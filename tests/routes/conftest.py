# SPDX-License-Identifier: Apache-2.0
"""Places where the routes run: a container's world without a container, and a network of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

Contained = Callable[..., "subprocess.CompletedProcess[str]"]

# What mercure and `docker run --network none --read-only --user 12345:12345` give: no network, nothing that can be
# written but the named folders, no privilege, a user that the system does not know, no HOME.
CONTAINER = r"""
set -eu
mount --make-rprivate /
for place in $WRITABLE; do mount --bind "$place" "$place"; done
while read -r _ _ _ _ point _; do
    case " $WRITABLE " in *" $point "*) continue ;; esac
    case $point in /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) continue ;; esac
    mount -o remount,bind,ro "$point"
done < /proc/self/mountinfo
! touch "$PWD/written" 2>/dev/null
exec unshare --user --map-user=12345 --map-group=12345 -- setpriv --no-new-privs env -u HOME -u WRITABLE "$@"
"""


@pytest.fixture
def contained() -> Contained:
    """A function that runs a command as a container would, with some variables and some writable folders."""
    outside = ["unshare", "--user", "--map-root-user", "--net", "--mount", "bash", "-c", CONTAINER, "bash"]

    def run(command: list[str], variables: Mapping[str, str], writable: list[Path]) -> subprocess.CompletedProcess[str]:
        basic = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
        environment = basic | {"WRITABLE": " ".join(map(str, writable))} | variables
        return subprocess.run(
            [*outside, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
        )

    probe = run(["true"], {}, [])
    if probe.returncode:
        pytest.skip(f"needs user, mount and network namespaces (unshare): {probe.stderr.strip()[-200:]}")
    return run


@pytest.fixture
def kneesynth() -> list[str]:
    return [sys.executable, "-m", "scripts"]
