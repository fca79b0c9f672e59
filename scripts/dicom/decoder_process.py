# SPDX-License-Identifier: Apache-2.0
"""The program of the process that `scripts.dicom.apart` starts: paths of compressed files in, their pixels out.

It is run as a file, so that it needs nothing but pydicom and its decoders, wherever this package lies.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import BinaryIO

START_BYTES = 2**30
"""Address space that Python, numpy and the decoders take, with room to spare."""


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer each request, a line of JSON, by a line of JSON and then the bytes of the pixels."""
    import numpy as np
    import pydicom

    for line in requests:
        request = json.loads(line)
        try:
            _limit_memory(START_BYTES + request["memory"])
            pixels = pydicom.dcmread(request["path"], force=True, specific_tags=request["tags"]).pixel_array
            answer = {"dtype": pixels.dtype.str, "shape": pixels.shape}
            data = np.ascontiguousarray(pixels).tobytes()
        except BaseException as error:  # a panic of a decoder in Rust is no Exception
            answer, data = {"error": type(error).__name__}, b""
        answers.write(json.dumps(answer).encode() + b"\n" + data)
        answers.flush()


def _limit_memory(size: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # no limits on this system: the sizes were checked
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file, whose names must not stand before those of libraries
    serve(sys.stdin.buffer, sys.stdout.buffer)
