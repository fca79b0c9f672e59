# SPDX-License-Identifier: Apache-2.0
import base64
import struct
import zlib

import numpy as np
import pytest

from scripts.errors import OutputError
from scripts.report.voxels import CEILING, LADDER, Precision, pack, pack_slice, pack_within, png, quantise


def unpack_slice(text: str, rows: int, columns: int) -> np.ndarray:
    """Decode pixel by pixel with the three cases of the JPEG-LS predictor as its paper writes them."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(2, rows, columns)
    folded = planes[0].astype(int) + 256 * planes[1].astype(int)
    levels = np.zeros((rows + 1, columns + 1), int)
    for row in range(rows):
        for column in range(columns):
            left, above, corner = levels[row + 1, column], levels[row, column + 1], levels[row, column]
            if corner >= max(left, above):
                expected = min(left, above)
            elif corner <= min(left, above):
                expected = max(left, above)
            else:
                expected = left + above - corner
            code = folded[row, column]
            levels[row + 1, column + 1] = expected + (-(code + 1) // 2 if code % 2 else code // 2)
    return levels[1:, 1:]


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (13, 11)], ids=str)
def test_packing_loses_nothing(rng, shape):
    levels = rng.integers(0, 4096, shape).astype(np.uint16)
    np.testing.assert_array_equal(unpack_slice(pack_slice(levels), *shape), levels)


def test_extreme_steps_survive():
    levels = np.zeros((6, 6), np.uint16)
    levels[::2, 1::2] = 4095
    np.testing.assert_array_equal(unpack_slice(pack_slice(levels), 6, 6), levels)


@pytest.mark.parametrize("precision", [p for p in LADDER if p.shrink == 1], ids=str)
def test_values_come_back_within_half_a_step(rng, precision):
    voxels = rng.uniform(0, CEILING, (2, 12, 10)).astype(np.float32)
    texts = pack(voxels, precision)
    shown = np.stack([unpack_slice(text, 12, 10) for text in texts]) * precision.step
    assert np.abs(shown - voxels).max() <= precision.step / 2 + 1e-6
    assert shown.max() / precision.step <= precision.levels - 1


def test_out_of_range_values_go_to_the_ends():
    levels = quantise(np.array([[[-0.3, 0.0, 9.0]]], np.float32), Precision())
    np.testing.assert_array_equal(levels, [[[0, 0, 4095]]])


def test_shrinking_averages_squares_and_completes_the_border():
    voxels = np.arange(15, dtype=np.float32).reshape(1, 3, 5) / 10
    shown = quantise(voxels, Precision(0.001, 2))[0] * 0.001
    expected = [[np.mean([0, 1, 5, 6]), np.mean([2, 3, 7, 8]), np.mean([4, 9])], [10.5, 12.5, 14.0]]
    np.testing.assert_allclose(shown, np.array(expected) / 10, atol=0.0005001)


def test_depth_goes_before_pixels(rng):
    stacks = [rng.uniform(0, 1, (8, 32, 32)).astype(np.float32)]
    full, packed = pack_within(stacks, 10**9)
    assert full == Precision()
    whole = sum(map(len, packed[0])) + len(packed[0])
    assert pack_within(stacks, whole)[0] == Precision()
    less, _ = pack_within(stacks, whole - 1)
    assert less.shrink == 1 and less.step > Precision().step
    least, packed = pack_within(stacks, whole // 5)
    assert least.shrink > 1
    assert sum(map(len, packed[0])) <= whole // 5


def test_what_can_never_fit_is_refused(rng):
    with pytest.raises(OutputError, match="1 stacks of 3 x 16 x 16 voxels do not fit"):
        pack_within([rng.uniform(0, 1, (3, 16, 16)).astype(np.float32)], 10)


def test_png_holds_the_pixels(rng):
    grey = rng.integers(0, 256, (5, 4)).astype(np.uint8)
    data = png(grey)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (4, 5, 8, 0, 0, 0, 0)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(5, 5)
    assert (lines[:, 0] == 1).all()
    np.testing.assert_array_equal(np.cumsum(lines[:, 1:], axis=1, dtype=np.uint8), grey)
