# SPDX-License-Identifier: Apache-2.0
"""What libraries need of a user that a container has not: a name, and a folder for temporary files.

A container runs under the number of a user of its host, on a file system that may be read-only. MONAI asks for the
user's name when it is imported; matplotlib, which it brings along, wants to cache in the home folder or in a temporary
one.
"""

from __future__ import annotations

import atexit
import contextlib
import getpass
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = ".kneesynth-temporary-"


def name_user() -> None:
    """Give the user of this process a name if the system knows none."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the second one since Python 3.13
        os.environ["LOGNAME"] = "kneesynth"


def find_temporary_folder(out: Path) -> None:
    """Where the system has no folder for temporary files, let it be a hidden one in or beside ``out`` till the end.

    Args:
        out: output folder; if nothing can be written there, those who write there refuse it.
    """
    with contextlib.suppress(FileNotFoundError):
        tempfile.gettempdir()
        return
    home = out if out.is_dir() else out.absolute().parent
    for former in home.glob(f"{_PREFIX}*"):  # of a run that was killed; two at a time are refused anyway
        shutil.rmtree(former, ignore_errors=True)
    with contextlib.suppress(OSError):
        tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix=_PREFIX, dir=home)
        atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)  # libraries clear theirs at exit too
