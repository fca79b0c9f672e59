# SPDX-License-Identifier: Apache-2.0
"""PNG pictures with labels from nothing but NumPy and zlib, so that a bare training machine can draw."""

from __future__ import annotations

import struct
import zlib

import numpy as np

GLYPH_HEIGHT = 7
GLYPH_WIDTH = 5

# Rows of a 5 x 7 dot matrix, top to bottom, five bits each, leftmost dot highest. Text is set in capitals.
_GLYPHS = {
    "A": (14, 17, 17, 31, 17, 17, 17),
    "B": (30, 17, 17, 30, 17, 17, 30),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "D": (30, 17, 17, 17, 17, 17, 30),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "F": (31, 16, 16, 30, 16, 16, 16),
    "G": (14, 17, 16, 23, 17, 17, 15),
    "H": (17, 17, 17, 31, 17, 17, 17),
    "I": (14, 4, 4, 4, 4, 4, 14),
    "J": (7, 2, 2, 2, 2, 18, 12),
    "K": (17, 18, 20, 24, 20, 18, 17),
    "L": (16, 16, 16, 16, 16, 16, 31),
    "M": (17, 27, 21, 21, 17, 17, 17),
    "N": (17, 25, 21, 19, 17, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14),
    "P": (30, 17, 17, 30, 16, 16, 16),
    "Q": (14, 17, 17, 17, 21, 18, 13),
    "R": (30, 17, 17, 30, 20, 18, 17),
    "S": (15, 16, 16, 14, 1, 1, 30),
    "T": (31, 4, 4, 4, 4, 4, 4),
    "U": (17, 17, 17, 17, 17, 17, 14),
    "V": (17, 17, 17, 17, 17, 10, 4),
    "W": (17, 17, 17, 21, 21, 21, 10),
    "X": (17, 17, 10, 4, 10, 17, 17),
    "Y": (17, 17, 10, 4, 4, 4, 4),
    "Z": (31, 1, 2, 4, 8, 16, 31),
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 6, 8, 16, 31),
    "3": (31, 2, 4, 2, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12),
    ".": (0, 0, 0, 0, 0, 12, 12),
    ",": (0, 0, 0, 0, 12, 4, 8),
    ":": (0, 12, 12, 0, 12, 12, 0),
    "-": (0, 0, 0, 31, 0, 0, 0),
    "+": (0, 4, 4, 31, 4, 4, 0),
    "=": (0, 0, 31, 0, 31, 0, 0),
    "/": (0, 1, 2, 4, 8, 16, 0),
    "|": (4, 4, 4, 4, 4, 4, 4),
    "(": (2, 4, 8, 8, 8, 4, 2),
    ")": (8, 4, 2, 2, 2, 4, 8),
    ">": (8, 4, 2, 1, 2, 4, 8),
    "<": (2, 4, 8, 16, 8, 4, 2),
    "%": (24, 25, 2, 4, 8, 19, 3),
    "_": (0, 0, 0, 0, 0, 0, 31),
    " ": (0,) * GLYPH_HEIGHT,
}
_UNKNOWN = (31, 17, 17, 17, 17, 17, 31)


def text_mask(text: str, scale: int = 2) -> np.ndarray:
    """Text as a picture: bool ``(7 * scale, width)``, true where ink is. Signs without a glyph become a box."""
    columns: list[np.ndarray] = []
    for sign in text.upper():
        rows = np.array(_GLYPHS.get(sign, _UNKNOWN), dtype=np.uint8)
        columns.append(((rows[:, None] >> np.arange(GLYPH_WIDTH - 1, -1, -1)) & 1).astype(bool))
        columns.append(np.zeros((GLYPH_HEIGHT, 1), dtype=bool))
    mask = np.concatenate(columns[:-1], axis=1) if columns else np.zeros((GLYPH_HEIGHT, 0), dtype=bool)
    return mask.repeat(scale, axis=0).repeat(scale, axis=1)


def draw_text(
    picture: np.ndarray, text: str, row: int, column: int, scale: int = 2, ink: tuple[int, int, int] = (232, 232, 232)
) -> None:
    """Write text into an RGB picture in place; what would fall outside is cut off.

    Args:
        picture: uint8 ``(rows, columns, 3)``.
        text: what to write.
        row: top of the text.
        column: left of the text.
        scale: picture dots per glyph dot.
        ink: colour.
    """
    mask = text_mask(text, scale)
    region = picture[row : row + mask.shape[0], column : column + mask.shape[1]]
    region[mask[: region.shape[0], : region.shape[1]]] = ink


def encode_png(picture: np.ndarray) -> bytes:
    """An RGB picture as PNG (PNG specification, W3C 2003: IHDR, one IDAT with filter 0, IEND).

    Args:
        picture: uint8 ``(rows, columns, 3)``.

    Raises:
        ValueError: another type or shape.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"a picture is uint8 (rows, columns, 3), not {picture.dtype} {picture.shape}.")
    rows, columns, _ = picture.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), picture.reshape(rows, columns * 3)], axis=1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
