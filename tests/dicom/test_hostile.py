# SPDX-License-Identifier: Apache-2.0
"""Files and folders made to hurt: nothing hangs, nothing fills the memory, and each file ends in a listed refusal."""

from __future__ import annotations

import io
import logging
import os
import struct
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from scripts.dicom.files import find_files
from scripts.dicom.grouping import MOST_STACKS
from scripts.dicom.index import Stack, index, index_series
from scripts.dicom.read import read_stack
from scripts.dicom.values import quiet
from scripts.errors import DecodeError

Series = Callable[..., list[Path]]
Edit = Callable[..., None]
Enhanced = Callable[..., Path]


def one(path: Path) -> Stack:
    (stack,) = index_series([path])
    return stack


@pytest.fixture
def small_memory() -> Iterator[None]:
    """Fails the test if Python's memory grows by more than 64 MiB; what decoders take beside it is not seen."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20


@pytest.fixture
def deep_folder(tmp_path: Path) -> Iterator[Path]:
    """Folders nested deeper than Python recurses; taken down step by step, as no library function can."""
    path = tmp_path / "deep"
    path.mkdir()
    made = [path]
    for _ in range(1200):
        made.append(made[-1] / "d")
        made[-1].mkdir()
    yield made[-1]
    for folder in reversed(made):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def test_folders_deeper_than_python_recurses(deep_folder: Path, knee_series: Series, tmp_path: Path) -> None:
    for number, file in enumerate(knee_series(slices=5, shape=(16, 16))):
        file.rename(deep_folder / f"{number}")
    assert one(tmp_path / "deep").slices == 5


def test_a_path_that_is_too_long_for_the_system_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop" / "loop")
    assert [path.name for path in find_files([tmp_path])] == ["file"]


def test_silence_ends_with_the_last_of_several_threads() -> None:
    logger, level, filters = logging.getLogger("pydicom"), logging.getLogger("pydicom").level, list(warnings.filters)
    first, second = quiet(), quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert logger.level == logging.CRITICAL
    second.__exit__(None, None, None)
    assert (logger.level, list(warnings.filters)) == (level, filters)


def test_a_pipe_is_not_waited_for(tmp_path: Path, knee_series: Series) -> None:
    files = knee_series(slices=5, shape=(16, 16))
    os.mkfifo(files[0].parent / "pipe.dcm")
    assert one(files[0].parent).usable


def test_pixels_are_not_read_by_the_index(knee_series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = knee_series(slices=5, shape=(512, 512), acquired=True)
    counted = 0

    class Counting(io.FileIO):
        def readinto(self, buffer: Any) -> int | None:
            nonlocal counted
            size = super().readinto(buffer)
            counted += size or 0
            return size

        def readall(self) -> bytes:
            nonlocal counted
            data = super().readall()
            counted += len(data)
            return data

        def read(self, size: int = -1) -> bytes | None:
            nonlocal counted
            data = super().read(size)
            counted += len(data or b"")
            return data

    opened: list[Path] = []

    def counting(path: Path, mode: str = "r") -> io.BufferedReader:
        opened.append(path)
        return io.BufferedReader(Counting(path))

    monkeypatch.setattr(Path, "open", counting)
    assert index([tmp_path]).stacks[0].usable
    monkeypatch.undo()
    assert sorted(opened) == sorted(files)  # each once
    assert 5 * 500 < counted < 5 * 32_000 < sum(file.stat().st_size for file in files) / 10


def test_pixels_that_are_only_claimed_are_not_decoded(knee_series: Series, small_memory: None) -> None:
    """A hole of 400 MB in the file system costs nothing; whoever read the claimed pixels would notice."""
    file = knee_series(slices=1, shape=(16, 16), acquired=True)[0]
    raw = file.read_bytes()
    place = raw.index(b"\xe0\x7f\x10\x00OW")
    rows = raw.index(b"\x28\x00\x10\x00US\x02\x00") + 8
    columns = raw.index(b"\x28\x00\x11\x00US\x02\x00") + 8
    data = bytearray(raw)
    data[rows : rows + 2] = data[columns : columns + 2] = struct.pack("<H", 14000)
    data[place + 8 : place + 12] = struct.pack("<I", 2 * 14000 * 14000)
    file.write_bytes(data)
    os.truncate(file, place + 12 + 2 * 14000 * 14000)
    stack = one(file)
    assert (stack.usable, stack.refusal_code) == (False, 4) and "14000 x 14000" in stack.reason
    with pytest.raises(DecodeError):
        read_stack([file])


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"Rows": 20000, "Columns": 20000}, "20000 x 20000"),
        ({"NumberOfFrames": 10**9}, "1000000000 x"),
        ({"NumberOfFrames": 200000}, "200000 x"),
        ({"BitsAllocated": 64, "Rows": 4096, "Columns": 4096, "NumberOfFrames": 64}, "4096 x 4096"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_few_kilobytes_that_claim_gigabytes(
    knee_series: Series, small_memory: None, claims: dict[str, int], word: str
) -> None:
    file = knee_series(slices=1, shape=(100, 100), acquired=True)[0]
    dataset = pydicom.dcmread(file)
    dataset.compress(RLELossless, generate_instance_uid=False)
    for keyword, value in claims.items():
        setattr(dataset, keyword, value)
    dataset.save_as(file)
    stack = one(file)
    assert (stack.usable, stack.refusal_code) == (False, 4) and word in stack.reason
    with pytest.raises(DecodeError):
        read_stack([file])


def test_an_enhanced_file_that_claims_more_frames_than_it_describes(
    knee_series: Series, enhanced: Enhanced, tmp_path: Path, small_memory: None
) -> None:
    file = enhanced(tmp_path / "e.dcm", knee_series(slices=5, shape=(16, 16)), NumberOfFrames=4_000_000)
    stack = one(file)
    assert (stack.usable, stack.refusal_code) == (False, 4)


def test_a_deflated_bomb_is_not_inflated(knee_series: Series, small_memory: None) -> None:
    file = knee_series(slices=1, shape=(16, 16), acquired=True)[0]
    dataset = pydicom.dcmread(file)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    dataset.save_as(file)
    raw = file.read_bytes()
    start = 144 + struct.unpack("<I", raw[140:144])[0]
    bomb = zlib.compressobj(9, wbits=-15)
    zeros = bytes(2**20)
    file.write_bytes(raw[:start] + b"".join(bomb.compress(zeros) for _ in range(300)) + bomb.flush())
    assert file.stat().st_size < 2**20
    stack = one(file)
    assert (stack.usable, stack.refusal_code) == (False, 4) and "inflates to more than 128 MiB" in stack.reason
    with pytest.raises(DecodeError):
        read_stack([file])


def test_a_damaged_deflated_file_is_refused(knee_series: Series) -> None:
    file = knee_series(slices=1, shape=(16, 16), acquired=True)[0]
    dataset = pydicom.dcmread(file)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    dataset.save_as(file)
    raw = bytearray(file.read_bytes())
    start = 144 + struct.unpack("<I", raw[140:144])[0]
    raw[start : start + 40] = b"\xff" * 40
    file.write_bytes(raw)
    assert one(file).refusal_code == 4


def test_sequences_nested_without_end(knee_series: Series, small_memory: None) -> None:
    file = knee_series(slices=1, shape=(16, 16), acquired=True)[0]
    raw = file.read_bytes()
    place = raw.index(b"\x08\x00\x60\x00CS")
    sequence = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    file.write_bytes(raw[:place] + sequence * 20000 + raw[place:])
    stack = one(file)
    assert (stack.usable, stack.refusal_code) == (False, 4)


def test_a_second_frame_that_claims_another_size(knee_series: Series, enhanced: Enhanced, tmp_path: Path) -> None:
    """Only the first stream tells the truth."""
    file = enhanced(tmp_path / "e.dcm", knee_series(slices=5, shape=(40, 48), acquired=True))
    dataset = pydicom.dcmread(file)
    dataset.compress(pydicom.uid.JPEGLSLossless, generate_instance_uid=False)
    size = struct.pack(">HH", 40, 48)
    place = dataset.PixelData.index(size, dataset.PixelData.index(size) + 4)
    dataset.PixelData = dataset.PixelData[:place] + struct.pack(">HH", 60000, 60000) + dataset.PixelData[place + 4 :]
    dataset.save_as(file)
    with pytest.raises(DecodeError, match="60000 x 60000"):
        read_stack([file])


def test_a_series_in_which_every_slice_has_its_own_plane(knee_series: Series, edit: Edit, tmp_path: Path) -> None:
    for number, file in enumerate(knee_series(slices=MOST_STACKS + 5, shape=(16, 16), acquired=True)):
        angle = np.deg2rad(1.5 * number)
        edit(file, ImageOrientationPatient=[f"{v:.6f}" for v in (np.cos(angle), np.sin(angle), 0, 0, 0, -1)])
    stacks = index_series([tmp_path])
    assert len(stacks) == MOST_STACKS + 5
    assert {stack.refusal_code for stack in stacks} == {5}
    assert "105 planes or kinds of image" in stacks[0].reason


def test_grouping_does_not_grow_with_the_square(knee_series: Series) -> None:
    """Thousands of planes in one series: each against each would take a quarter of an hour."""
    from dataclasses import replace

    from scripts.dicom.grouping import contradictions, group_headers
    from scripts.dicom.parsing import read_headers

    ((header,),) = read_headers(knee_series(slices=1, shape=(16, 16), acquired=True))
    many = []
    for number in range(3000):
        angle = 2 * np.pi * number / 3000
        many.append(
            replace(header, sop_instance_uid=str(number), orientation=(np.cos(angle), np.sin(angle), 0, 0, 0, -1))
        )
    start = time.process_time()
    (groups,) = group_headers(many)
    assert len(groups) == len(contradictions(groups)) > 2000
    assert time.process_time() - start < 60
