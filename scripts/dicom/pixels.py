# SPDX-License-Identifier: Apache-2.0
"""Whether a file's pixels are all there and can be decoded, told from lengths and codes alone."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from scripts.dicom.pydicom_versions import can_decode, compressed_frames, is_implicit
from scripts.dicom.values import integer, text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_SIDE = 4096
MAX_BYTES = 2 * 1024**3
"""Decoding limits: a few kilobytes of RLE can claim to be gigabytes."""

MAX_HEADER_BYTES = 2**26
MAX_INFLATED_BYTES = 2**27
"""A deflated file is inflated as a whole by whoever opens it, so its size is checked first."""

LOSSY_SYNTAXES = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}
"""Transfer syntaxes that may lose something, with LossyImageCompressionMethod of each."""

_DEFLATED = "1.2.840.10008.1.2.1.99"
_JPEG_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
_TWELVE_BITS = (
    "its JPEG has 12 bits, which no decoder here is known to restore; convert the files with dcmdjpeg or gdcmconv --raw"
)


def size_problem(frames: int, rows: int, columns: int, decoded_bytes: int) -> str:
    """Say that an image claims to be larger than what is decoded here, or give ""."""
    if max(rows, columns) <= MAX_SIDE and decoded_bytes <= MAX_BYTES:
        return ""
    return f"{frames} x {rows} x {columns} pixels are claimed; at most {MAX_SIDE} x {MAX_SIDE} and 2 GiB are read"


def pixel_problem(file: BinaryIO, dataset: Dataset, size: int) -> str:
    """Check from lengths alone that all pixel data is there and that a decoder is at hand.

    ``file`` stands where pydicom stopped: at the tag of the pixel data, or at the end.
    """
    if integer(dataset, "Rows") is None or "ImageStorage" not in _sop_class_keyword(dataset):
        return ""  # a report or a presentation state has no pixels to miss
    if size > MAX_BYTES + MAX_HEADER_BYTES:
        return f"the file has {size >> 20} MiB; at most 2 GiB are read"
    syntax = text(getattr(dataset, "file_meta", None), "TransferSyntaxUID")
    if syntax == _DEFLATED:
        return ""  # positions in the file mean nothing
    little = syntax != "1.2.840.10008.1.2.2"
    implicit = syntax == "1.2.840.10008.1.2" and is_implicit(dataset)
    head = file.read(8 if implicit else 12)
    if len(head) < (8 if implicit else 12) or struct.unpack("<HH" if little else ">HH", head[:4])[0] != 0x7FE0:
        return "the file ends before its pixels"
    length = struct.unpack("<I" if little else ">I", head[-4:])[0]
    if length == 0xFFFFFFFF:
        if syntax in _JPEG_LOSSY and (integer(dataset, "BitsStored") or 8) > 8:
            return _TWELVE_BITS
        return _fragments_problem(file, size) or _decoder_problem(syntax)
    bits = integer(dataset, "BitsAllocated") or 16
    pixels = (integer(dataset, "Rows") or 0) * (integer(dataset, "Columns") or 0)
    needed = pixels * (integer(dataset, "SamplesPerPixel") or 1) * max(integer(dataset, "NumberOfFrames") or 1, 1)
    if file.tell() + length > size or length < needed * bits // 8:
        return "the file ends within its pixels"
    return ""


def _fragments_problem(file: BinaryIO, size: int) -> str:
    """Walk the items of encapsulated pixel data (PS3.5 A.4) up to the delimiter without reading them."""
    while True:
        head = file.read(8)
        if len(head) < 8:
            return "the file ends within its pixels"
        group, element, length = struct.unpack("<HHI", head)
        if (group, element) == (0xFFFE, 0xE0DD):
            return ""
        if (group, element) != (0xFFFE, 0xE000) or file.tell() + length > size:
            return "the file ends within its pixels"
        file.seek(length, 1)


@lru_cache(maxsize=32)
def _decoder_problem(syntax: str) -> str:
    from pydicom.uid import UID

    try:
        if can_decode(UID(syntax)):
            return ""
        missing = "no decoder for it is installed; install python-gdcm, pyjpegls, pylibjpeg-openjpeg and pylibjpeg-rle"
    except NotImplementedError:
        missing = "it is not a still-image codec that can be decoded here"
    return f"pixels are compressed as {UID(syntax).name}: {missing}"


def _sop_class_keyword(dataset: Dataset) -> str:
    from pydicom.uid import UID

    return UID(text(dataset, "SOPClassUID")).keyword


def inflated_problem(file: BinaryIO, start: bytes) -> str:
    """Say that a deflated file inflates to more than is read here, or give ""; a few kilobytes may hold gigabytes.

    Args:
        file: a file with preamble; its position is kept.
        start: its first kilobyte.
    """
    if _DEFLATED.encode() not in start:
        return ""
    # The data set follows the meta group, whose length stands in its first element (PS3.10 7.1).
    file.seek(144 + int.from_bytes(start[140:144], "little"))
    inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        while total <= MAX_INFLATED_BYTES:
            data = inflater.unconsumed_tail or file.read(2**16)
            piece = inflater.decompress(data, 2**20)
            if inflater.eof or not (data or piece):
                return ""
            total += len(piece)
    except zlib.error:
        return "its deflated data set is damaged"
    finally:
        file.seek(0)
    return f"it inflates to more than {MAX_INFLATED_BYTES >> 20} MiB"


def lossy_compression(dataset: Dataset) -> str:
    """Name the lossy compression that pixels went through, now or at any time before, or give ""."""
    syntax = text(getattr(dataset, "file_meta", None), "TransferSyntaxUID")
    if syntax in LOSSY_SYNTAXES:
        return _syntax_name(syntax)
    return "marked in its header" if text(dataset, "LossyImageCompression") == "01" else ""


@lru_cache(maxsize=32)
def _syntax_name(syntax: str) -> str:
    from pydicom.uid import UID

    return UID(syntax).name


def stream_problem(dataset: Dataset) -> str:
    """Compare the size inside each compressed image with that of the header before a decoder believes it.

    A JPEG 2000 stream of a few bytes may claim 60000 x 60000 pixels under a header that says 256 x 256.

    Args:
        dataset: read in full.

    Returns:
        What is wrong, or "" (also for codecs whose stream carries no size).
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return ""
    for frame in compressed_frames(dataset.PixelData, max(integer(dataset, "NumberOfFrames") or 1, 1)):
        size = _stream_size(frame)
        if size is None:
            continue
        rows, columns, bits = size
        if (rows, columns) != (dataset.Rows, dataset.Columns):
            return f"the compressed image is {rows} x {columns}, its header says {dataset.Rows} x {dataset.Columns}"
        if syntax in _JPEG_LOSSY and bits > 8:
            return _TWELVE_BITS
    return ""


def _stream_size(frame: bytes) -> tuple[int, int, int] | None:
    """Give (rows, columns, bits) of a JPEG 2000 (ISO 15444-1 A.5.1), JPEG or JPEG-LS (ISO 10918-1 B.2.2) stream."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 1024)
    if start >= 0 and len(frame) >= start + 24:
        columns, rows, left, top = struct.unpack(">4I", frame[start + 8 : start + 24])
        return rows - top, columns - left, 0
    if not frame.startswith(b"\xff\xd8"):
        return None
    place = 2
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        marker, length = struct.unpack(">BH", frame[place + 1 : place + 4])
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return *struct.unpack(">HH", frame[place + 5 : place + 9]), frame[place + 4]
        place += 2 + length
    return None
