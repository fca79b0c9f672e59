# SPDX-License-Identifier: Apache-2.0
"""Image stacks as text small enough for one page: fixed-step levels, predicted, deflated, base64.

A value ``v`` on the normalised scale becomes the level ``round(v / step)``. The finest step is 0.001, the step of the
stored DICOM integers, so a page within its budget shows what the derived series holds. Each slice is predicted with
the median edge detector of lossless JPEG-LS (Weinberger et al. 2000, IEEE Trans. Image Process. 9:1309, equation 1),
residuals are folded to non-negative numbers, split into a low-byte and a high-byte plane and deflated. Noise leaves
little to match, so run-length matching (``Z_RLE``) packs about as small as the full search and several times faster.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.errors import OutputError

#: Largest value a page shows; the stored integers end there too (4095 at 1000 per unit).
CEILING = 4.095
_SAMPLE = 5


@dataclass(frozen=True)
class Precision:
    """How finely a page keeps its voxels.

    Args:
        step: distance between two neighbouring levels on the normalised scale.
        shrink: side, in pixels, of the in-plane square that is averaged into one; 1 keeps every pixel.
    """

    step: float = 0.001
    shrink: int = 1

    @property
    def levels(self) -> int:
        """Number of levels from 0 to ``CEILING``."""
        return round(CEILING / self.step) + 1


#: From the finest down: the depth goes before the pixels do. A step of 0.004 still has 250 greys in the fixed window.
LADDER = tuple(Precision(step, shrink) for shrink in (1, 2, 3, 4, 6, 8) for step in (0.001, 0.002, 0.004, 0.008))


def quantise(voxels: NDArray[np.floating], precision: Precision) -> NDArray[np.uint16]:
    """Turn values on the normalised scale into levels.

    Args:
        voxels: ``(slices, rows, columns)``.
        precision: step and in-plane averaging.

    Returns:
        ``(slices, ceil(rows / shrink), ceil(columns / shrink))``; negative values become 0, values above ``CEILING``
        the last level. A partial square at the lower or right border is completed with the border's own pixels.
    """
    values = np.asarray(voxels, dtype=np.float32)
    k = precision.shrink
    if k > 1:
        slices, rows, columns = values.shape
        values = np.pad(values, ((0, 0), (0, -rows % k), (0, -columns % k)), mode="edge")
        values = values.reshape(slices, values.shape[1] // k, k, values.shape[2] // k, k).mean(axis=(2, 4))
    return np.rint(np.clip(values, 0, CEILING) / precision.step).astype(np.uint16)


def pack_slice(levels: NDArray[np.uint16]) -> str:
    """One slice ``(rows, columns)`` as base64 text without line breaks."""
    rows, columns = levels.shape
    padded = np.zeros((rows + 1, columns + 1), np.int32)
    padded[1:, 1:] = levels
    left, above, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    low, high = np.minimum(left, above), np.maximum(left, above)
    residual = padded[1:, 1:] - np.clip(left + above - corner, low, high)
    folded = np.where(residual < 0, -2 * residual - 1, 2 * residual)
    planes = np.stack((folded & 255, folded >> 8)).astype(np.uint8)
    deflate = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    return base64.b64encode(deflate.compress(planes.tobytes()) + deflate.flush()).decode("ascii")


def pack(voxels: NDArray[np.floating], precision: Precision) -> list[str]:
    """Pack a stack ``(slices, rows, columns)`` slice by slice, so that a reader can open any slice first."""
    return [pack_slice(quantise(voxels[i : i + 1], precision)[0]) for i in range(len(voxels))]


def pack_within(stacks: Sequence[NDArray[np.floating]], budget: int) -> tuple[Precision, list[list[str]]]:
    """Pack stacks of one shape as finely as ``budget`` bytes allow.

    Args:
        stacks: arrays ``(slices, rows, columns)`` on the normalised scale.
        budget: bytes for all text of all stacks, one separator per slice included.

    Returns:
        The precision that was reached, the first rung of ``LADDER`` that fits, and one list of texts per stack.

    Raises:
        OutputError: when the coarsest rung does not fit.
    """
    slices = len(stacks[0])
    sample = sorted({round(i) for i in np.linspace(0, slices - 1, min(slices, _SAMPLE))})
    for precision in LADDER:
        if len(sample) < slices:  # a few slices tell whether packing all of them is worth the time
            expected = sum(_size(pack(stack[sample], precision)) for stack in stacks) * slices / len(sample)
            if expected > 1.2 * budget:
                continue
        packed = [pack(stack, precision) for stack in stacks]
        if sum(map(_size, packed)) <= budget:
            return precision, packed
    shape = " x ".join(map(str, stacks[0].shape))
    raise OutputError(
        f"{len(stacks)} stacks of {shape} voxels do not fit a report page of {budget / 1e6:.1f} MB even at 1/8 of the "
        "in-plane resolution; report fewer slices"
    )


def png(grey: NDArray[np.uint8]) -> bytes:
    """An 8-bit greyscale PNG of ``(rows, columns)`` (ISO/IEC 15948), for the picture shown without scripts."""
    rows, columns = grey.shape
    lines = np.zeros((rows, columns + 1), np.uint8)  # filter type 1 (difference to the left) opens every line
    lines[:, 0] = 1
    lines[:, 1:] = np.diff(grey, axis=1, prepend=np.zeros((rows, 1), np.uint8))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _size(texts: list[str]) -> int:
    return sum(map(len, texts)) + len(texts)
