# SPDX-License-Identifier: Apache-2.0
"""Whether a file's pixels are all there and can be decoded, told from lengths and codes alone."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from scripts.dicom.pydicom_versions import can_decode, first_frame, is_implicit
from scripts.dicom.values import integer, text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_SIDE = 4096
MAX_BYTES = 2 * 1024**3
"""Decoding limits: a few kilobytes of RLE can claim to be gigabytes."""


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
    syntax = text(getattr(dataset, "file_meta", None), "TransferSyntaxUID")
    if syntax == "1.2.840.10008.1.2.1.99":
        return ""  # deflated: positions in the file mean nothing
    little = syntax != "1.2.840.10008.1.2.2"
    implicit = syntax in ("", "1.2.840.10008.1.2") and is_implicit(dataset)
    head = file.read(8 if implicit else 12)
    if len(head) < (8 if implicit else 12) or struct.unpack("<HH" if little else ">HH", head[:4])[0] != 0x7FE0:
        return "the file ends before its pixels"
    length = struct.unpack("<I" if little else ">I", head[-4:])[0]
    if length == 0xFFFFFFFF:
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


def stream_problem(dataset: Dataset) -> str:
    """Compare the size inside a compressed image with that of the header before a decoder believes it.

    A JPEG 2000 stream of a few bytes may claim 60000 x 60000 pixels under a header that says 256 x 256.

    Args:
        dataset: read in full.

    Returns:
        What is wrong, or "" (also for codecs whose stream carries no size).
    """
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return ""
    size = _stream_size(first_frame(dataset.PixelData))
    if size is None or size == (dataset.Rows, dataset.Columns):
        return ""
    return f"the compressed image is {size[0]} x {size[1]}, its header says {dataset.Rows} x {dataset.Columns}"


def _stream_size(frame: bytes) -> tuple[int, int] | None:
    """Give (rows, columns) of a JPEG 2000 (ISO 15444-1 A.5.1), JPEG or JPEG-LS (ISO 10918-1 B.2.2) stream."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 1024)
    if start >= 0 and len(frame) >= start + 24:
        columns, rows, left, top = struct.unpack(">4I", frame[start + 8 : start + 24])
        return rows - top, columns - left
    if not frame.startswith(b"\xff\xd8"):
        return None
    place = 2
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        marker, length = struct.unpack(">BH", frame[place + 1 : place + 4])
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack(">HH", frame[place + 5 : place + 9])
            return rows, columns
        place += 2 + length
    return None
