# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there: written beside their place, then renamed onto it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that a kill at any moment leaves the older content, never a torn file.

    Args:
        path: the file; its folder is made where it is missing.
        write: gets the open temporary file (same folder, so that the rename stays within one file system).

    Raises:
        OSError: the folder cannot be written; the older file is untouched and the temporary one removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())  # without it a power cut may keep the rename and lose the content
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """`write_atomically` for UTF-8 text."""
    write_atomically(path, lambda stream: stream.write(text.encode("utf-8")))


def remove_partials(folder: Path) -> None:
    """Clear what a killed `write_atomically` left behind in ``folder``."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)
