# SPDX-License-Identifier: Apache-2.0
"""``--json FILE`` or ``--json -``: what was found or done, for machines."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from scripts.errors import OutputError


def check_json_target(path: Path) -> None:
    """Refuse early a file that cannot be written; ``-`` is stdout.

    Raises:
        OutputError: its folder is absent or not writable, or it is a folder itself.
    """
    if str(path) == "-":
        return
    if path.is_dir() or not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise OutputError(
            f"--json {path.name}: cannot be written there; need a file in a writable folder; choose another"
        )


def write_json(content: Any, path: Path) -> None:
    """Write JSON to a file, or to stdout for ``-``.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(content, indent=2) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"--json {path.name}: {error.strerror}; need a writable file; choose another") from error
