# SPDX-License-Identifier: Apache-2.0
"""One good series, harmed in one way at a time: each harm has its exit code and reason, and none passes unseen."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from scripts.dicom import pixels
from scripts.dicom.geometry import normal_of
from scripts.dicom.index import index_series
from scripts.dicom.read import read_stack
from scripts.errors import DecodeError, GeometryError, KneeSynthError
from scripts.synthesis.selection import Lift, choose

Series = Callable[..., list[Path]]
Edit = Callable[..., None]


def shift(file: Path, edit: Edit, *, along_normal: float = 0.0, along_row: float = 0.0) -> None:
    dataset = pydicom.dcmread(file)
    row = np.array(dataset.ImageOrientationPatient[:3], dtype=float)
    normal = normal_of(tuple(float(v) for v in dataset.ImageOrientationPatient))
    position = np.array(dataset.ImagePositionPatient, dtype=float) + along_normal * normal + along_row * row
    edit(file, ImagePositionPatient=[f"{value:.6f}" for value in position])


def drop_slice(files: list[Path], edit: Edit) -> None:
    files[4].unlink()


def shift_slice(files: list[Path], edit: Edit) -> None:
    shift(files[4], edit, along_normal=1.0)


def jitter(files: list[Path], edit: Edit) -> None:
    shift(files[4], edit, along_normal=0.2)


def slide_slice(files: list[Path], edit: Edit) -> None:
    shift(files[4], edit, along_row=1.0)


def shear(files: list[Path], edit: Edit) -> None:
    for number, file in enumerate(files):
        shift(file, edit, along_row=0.5 * number)


def second_at_a_place(files: list[Path], edit: Edit) -> None:
    twin = files[4].with_name("twin.dcm")
    shutil.copy(files[4], twin)
    edit(twin, SOPInstanceUID="1.2.3.4")


def same_uid_other_pixels(files: list[Path], edit: Edit) -> None:
    twin = files[4].with_name("twin.dcm")
    shutil.copy(files[4], twin)
    edit(twin, PixelData=b"\1\0" * 480)


def all_in_one_place(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, ImagePositionPatient=["1", "2", "3"])


def other_matrix_inside(files: list[Path], edit: Edit) -> None:
    edit(files[4], Rows=10, PixelData=b"\0\0" * 240)


def other_matrix_at_the_end(files: list[Path], edit: Edit) -> None:
    edit(files[-1], Rows=10, PixelData=b"\0\0" * 240)


def other_pixel_size_at_the_end(files: list[Path], edit: Edit) -> None:
    edit(files[-1], PixelSpacing=["0.5", "0.5"])


def tilt_slice(files: list[Path], edit: Edit) -> None:
    c, s = np.cos(np.deg2rad(5)), np.sin(np.deg2rad(5))
    cosines = np.array(pydicom.dcmread(files[-1]).ImageOrientationPatient, dtype=float)
    normal = normal_of(tuple(cosines))
    edit(files[-1], ImageOrientationPatient=[f"{v:.6f}" for v in [*(c * cosines[:3] + s * normal), *cosines[3:]]])


def no_position(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, ImagePositionPatient=..., ImageOrientationPatient=...)


def one_without_position(files: list[Path], edit: Edit) -> None:
    edit(files[-1], ImagePositionPatient=..., ImageOrientationPatient=...)


def no_pixel_spacing(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, PixelSpacing=...)


def skewed_cosines(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, ImageOrientationPatient=["1", "0", "0", "0.2", "1", "0"])


def cut_pixels(files: list[Path], edit: Edit) -> None:
    files[-1].write_bytes(files[-1].read_bytes()[:-100])


def cut_before_pixels(files: list[Path], edit: Edit) -> None:
    files[-1].write_bytes(files[-1].read_bytes()[:-1000])


def cut_header(files: list[Path], edit: Edit) -> None:
    files[-1].write_bytes(files[-1].read_bytes()[:400])


def too_large(files: list[Path], edit: Edit) -> None:
    edit(files[0], Rows=20000, Columns=20000)


def video_codec(files: list[Path], edit: Edit) -> None:
    from pydicom.encaps import encapsulate

    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
        dataset.PixelData = encapsulate([b"\0" * 100])
        dataset["PixelData"].VR = "OB"
        dataset.save_as(file, enforce_file_format=True)


def ct(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")


def secondary_capture(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")


def multi_frame(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, NumberOfFrames=2, PixelData=b"\0\0" * 960)


def mosaic(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])


def empty_file(files: list[Path], edit: Edit) -> None:
    files[-1].write_bytes(b"")


def twelve_bit_jpeg(files: list[Path], edit: Edit) -> None:
    from pydicom.encaps import encapsulate

    # SOI and SOF1 with a precision of 12 bits; nothing may get as far as decoding it
    stream = b"\xff\xd8\xff\xc1" + struct.pack(">HBHHB", 11, 12, 20, 24, 1) + b"\x01\x11\x00" + b"\xff\xd9"
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.51"
        dataset.PixelData = encapsulate([stream])
        dataset["PixelData"].VR = "OB"
        dataset.save_as(file, enforce_file_format=True)


def colour(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, SamplesPerPixel=3, PhotometricInterpretation="RGB", PixelData=b"\0" * 2880)


def no_functional_groups(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1")


# Row; what is done to ten good slices, 3.3 mm apart; exit code; a word of the reason.
BROKEN: list[tuple[str, Callable[[list[Path], Edit], None], int, str]] = [
    ("missing slice", drop_slice, 5, "gap of 6.60 mm between slices 4 and 5 of 9"),
    ("1 mm shifted slice", shift_slice, 5, "off its place"),
    ("slice jitter 0.2 mm", jitter, 5, "off its place"),
    ("slice shifted within its plane", slide_slice, 5, "off its place"),
    ("sheared stack (gantry)", shear, 5, "shear"),
    ("duplicate place", second_at_a_place, 5, "duplicate place"),
    ("duplicate SOPInstanceUID, other pixels", same_uid_other_pixels, 5, "duplicate place"),
    ("all slices in one place", all_in_one_place, 5, "duplicate place"),
    ("different Rows", other_matrix_inside, 5, "10 x 24 in one series (0005.dcm)"),
    ("different Rows at the end", other_matrix_at_the_end, 5, "(0010.dcm)"),
    ("different PixelSpacing", other_pixel_size_at_the_end, 5, "(0010.dcm)"),
    ("one slice tilted 5 deg", tilt_slice, 5, "tilted by 5.0 degrees (0010.dcm)"),
    ("no IPP/IOP", no_position, 5, "ImagePositionPatient"),
    ("one slice without IPP/IOP", one_without_position, 5, "position"),
    ("no PixelSpacing", no_pixel_spacing, 5, "PixelSpacing"),
    ("skewed cosines", skewed_cosines, 5, "cosines"),
    ("truncated file", cut_pixels, 4, "ends within its pixels"),
    ("truncated before its pixels", cut_before_pixels, 4, "cannot be decoded"),
    ("truncated in its header", cut_header, 4, "damaged"),
    ("empty file", empty_file, 4, "may belong to it"),
    ("size beyond the limit", too_large, 4, "20000"),
    ("no decoder for the syntax", video_codec, 4, "codec"),
    ("12-bit JPEG", twelve_bit_jpeg, 4, "dcmdjpeg or gdcmconv"),
    ("not MR", ct, 6, "not MR (CT)"),
    ("secondary capture", secondary_capture, 6, "not MR"),
    ("colour", colour, 6, "grey-scale"),
    ("classic multi-frame", multi_frame, 4, "multi-frame"),
    ("Enhanced without functional groups", no_functional_groups, 4, "0 are described"),
    ("Siemens mosaic", mosaic, 6, "mosaic"),
]


@pytest.mark.parametrize(("row", "harm", "code", "word"), BROKEN, ids=[case[0] for case in BROKEN])
def test_refused(
    knee_series: Series,
    tmp_path: Path,
    edit: Edit,
    row: str,
    harm: Callable[[list[Path], Edit], None],
    code: int,
    word: str,
) -> None:
    harm(knee_series(acquired=True), edit)
    stacks = index_series([tmp_path])
    assert stacks
    # A broken series leaves nothing behind that could pass for whole.
    assert [stack for stack in stacks if stack.usable] == []
    assert {stack.refusal_code for stack in stacks} == {code}
    assert any(word in stack.reason for stack in stacks), [stack.reason for stack in stacks]
    assert all("\n" not in stack.reason for stack in stacks)
    with pytest.raises(KneeSynthError) as refused:
        choose(stacks, "PDFS", lift=Lift(force=True))
    assert refused.value.exit_code == code


def test_a_missing_decoder_is_named_with_what_to_install(
    knee_series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in knee_series(acquired=True):
        dataset = pydicom.dcmread(file)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(file)
    pixels._decoder_problem.cache_clear()
    monkeypatch.setattr(pixels, "can_decode", lambda syntax: False)
    (stack,) = index_series([tmp_path])
    pixels._decoder_problem.cache_clear()
    assert (stack.usable, stack.refusal_code) == (False, 4)
    assert "RLE Lossless" in stack.reason and "install python-gdcm" in stack.reason


@pytest.mark.validators
def test_a_real_12_bit_jpeg_is_refused(knee_series: Series, tmp_path: Path) -> None:
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmcjpeg (Debian's dcmtk) is not installed")
    for file in knee_series(acquired=True):
        subprocess.run(["dcmcjpeg", "+ee", str(file), str(file)], check=True)
        assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.51"
    (stack,) = index_series([tmp_path])
    assert (stack.usable, stack.refusal_code, stack.lossy) == (False, 4, True) and "12 bits" in stack.reason


def test_random_damage_ends_in_a_listed_refusal_and_nothing_else(knee_series: Series, tmp_path: Path) -> None:
    whole = knee_series(slices=1, acquired=True)[0].read_bytes()
    file = tmp_path / "damaged" / "x"
    file.parent.mkdir()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        data = bytearray(whole[: rng.integers(132, len(whole) + 1)] if rng.random() < 0.3 else whole)
        for place in rng.integers(132, len(data) + 1, rng.integers(1, 12)):
            data[min(place, len(data) - 1)] = rng.integers(256)
        file.write_bytes(data)
        for stack in index_series([file.parent]):
            try:
                read_stack(stack.files)
            except (DecodeError, GeometryError):
                refused += 1
    assert refused > 50
