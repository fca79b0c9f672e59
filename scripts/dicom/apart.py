# SPDX-License-Identifier: Apache-2.0
"""Compressed pixels are decoded in a process apart.

A decoder written in C or Rust may end its process, never come back, take all memory or write to the terminal when a
stream is damaged. Then only the process apart is lost, and the file is refused as one that cannot be decoded.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from scripts.dicom import decoder_process

SECONDS, SECONDS_PER_MB = 10.0, 1.0
"""A file has so long to be decoded; the slowest decoder makes some 10 MB a second."""

_COPIES = 8
"""How many times the size of the pixels decoding may take: stream, integers of 32 bits, and what is handed over."""


class DecoderFailed(Exception):
    """The stream could not be decoded; the message is a word or two."""


class Decoder:
    """A process that decodes one file after another; it starts with the first and ends with the block."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def pixels(self, path: Path, tags: Sequence[str], size: int) -> np.ndarray:
        """Decode a file.

        Args:
            path: a DICOM file.
            tags: what of its header decoding needs.
            size: bytes that its pixels will have.

        Returns:
            What pydicom's ``pixel_array`` gives.

        Raises:
            DecoderFailed: it cannot be decoded, or not within time and memory.
        """
        process = self._process if self._process is not None else self._start()
        assert process.stdin is not None and process.stdout is not None
        request = {"path": str(path.absolute()), "tags": list(tags), "memory": _COPIES * size}
        guard = threading.Timer(SECONDS + SECONDS_PER_MB * size / 1e6, process.kill)
        guard.start()
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())  # nothing where the process died
            if "error" in answer:
                raise DecoderFailed(answer["error"])
            # What comes from a process that a stream may have taken over is believed no more than the stream.
            dtype, shape = np.dtype(answer["dtype"]), answer["shape"]
            if dtype.kind not in "iu" or not 0 <= dtype.itemsize * math.prod(shape) <= _COPIES * size:
                raise ValueError(shape)
            data = process.stdout.read(dtype.itemsize * math.prod(shape))
            pixels = np.frombuffer(data, dtype).reshape(shape)
        except (OSError, ValueError, TypeError, KeyError) as error:
            self._end()
            raise DecoderFailed("the decoder died or did not come to an end") from error
        finally:
            guard.cancel()
            guard.join()
        return pixels

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(decoder_process.__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
