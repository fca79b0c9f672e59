# SPDX-License-Identifier: Apache-2.0
"""Which files lie below some paths, however deep, each once; and the address of one frame within a file."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.errors import UsageError

logger = logging.getLogger(__name__)

_FRAMES = "frames"


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Give every regular file below some paths, in the order of names.

    Links are followed. A folder or file that is reached twice, by a link or because it was named twice, is given once,
    so a loop of links ends. Folders that may not be read are passed over.

    Args:
        paths: folders and files.

    Raises:
        UsageError: a path does not exist.
    """
    seen: set[tuple[int, int]] = set()
    # A list of what is still to do, not recursion: folders may be nested deeper than Python recurses.
    waiting: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise UsageError(f"{path} does not exist; give a folder or files that do")
        waiting = [path]
        while waiting:
            current = waiting.pop()
            try:
                status = current.stat()
                key = (status.st_dev, status.st_ino)
                if key in seen:
                    continue
                seen.add(key)
                if stat.S_ISDIR(status.st_mode):
                    waiting += sorted((Path(entry.path) for entry in os.scandir(current)), reverse=True)
                elif stat.S_ISREG(status.st_mode):  # no pipe or device, which might never end
                    yield current
            except OSError as error:  # a link that leads nowhere or in a circle, a folder of somebody else
                logger.warning("one file or folder is passed over: %s", error.strerror)


def frame_address(path: Path, frame: int) -> Path:
    """Name one frame of a multi-frame file as DICOMweb does: ``file.dcm/frames/7``, counted from 1.

    Nothing can lie below a file, so such a path never means anything else; it goes wherever the file of a slice goes.
    """
    return path / _FRAMES / str(frame)


def split_address(path: Path) -> tuple[Path, int]:
    """Give file and frame of an address; frame 0 stands for the whole of a plain file."""
    if path.parent.name == _FRAMES and path.name.isdecimal() and path.parent.parent.is_file():
        return path.parent.parent, int(path.name)
    return path, 0
