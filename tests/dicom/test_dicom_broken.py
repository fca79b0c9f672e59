# SPDX-License-Identifier: Apache-2.0
"""One good series, harmed in one way at a time: each harm has its exit code and reason, and none passes unseen."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.dicom.geometry import normal_of
from scripts.dicom.index import index_series
from scripts.dicom.read import read_stack
from scripts.errors import DecodeError, GeometryError

Series = Callable[..., list[Path]]
Edit = Callable[..., None]


def shift(file: Path, edit: Edit, *, along_normal: float = 0.0, along_row: float = 0.0) -> None:
    dataset = pydicom.dcmread(file)
    row = np.array(dataset.ImageOrientationPatient[:3], dtype=float)
    normal = normal_of(tuple(float(v) for v in dataset.ImageOrientationPatient))
    position = np.array(dataset.ImagePositionPatient, dtype=float) + along_normal * normal + along_row * row
    edit(file, ImagePositionPatient=[f"{value:.6f}" for value in position])


# Each breaks one good series of 10 slices, 3.3 mm apart; then the exit code and a word of the reason.
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


BROKEN = [
    (drop_slice, 5, "gap"),
    (shift_slice, 5, "off its place"),
    (jitter, 5, "off its place"),
    (slide_slice, 5, "off its place"),
    (shear, 5, "shear"),
    (second_at_a_place, 5, "duplicate place"),
    (same_uid_other_pixels, 5, "duplicate place"),
    (all_in_one_place, 5, "duplicate place"),
    (other_matrix_inside, 5, "mixed matrix"),
    (other_matrix_at_the_end, 5, "mixed matrix"),
    (other_pixel_size_at_the_end, 5, "pixel size"),
    (tilt_slice, 5, "tilted"),
    (no_position, 5, "ImagePositionPatient"),
    (one_without_position, 5, "position"),
    (no_pixel_spacing, 5, "PixelSpacing"),
    (skewed_cosines, 5, "cosines"),
    (cut_pixels, 4, "ends within its pixels"),
    (cut_before_pixels, 4, "cannot be decoded"),
    (cut_header, 4, "damaged"),
    (too_large, 4, "20000"),
    (video_codec, 4, "codec"),
    (ct, 6, "not MR (CT)"),
    (secondary_capture, 6, "not MR"),
    (multi_frame, 4, "multi-frame"),
    (empty_file, 4, "may belong to it"),
    (mosaic, 6, "mosaic"),
]


@pytest.mark.parametrize(("damage", "code", "word"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_broken_series_is_refused_with_its_reason(
    knee_series: Series, tmp_path: Path, edit: Edit, damage: Callable[..., None], code: int, word: str
) -> None:
    damage(knee_series(acquired=True), edit)
    stacks = index_series([tmp_path])
    assert stacks
    # A broken series leaves nothing behind that could pass for whole.
    assert [stack for stack in stacks if stack.usable] == []
    assert {stack.refusal_code for stack in stacks} == {code}
    assert any(word in stack.reason for stack in stacks), [stack.reason for stack in stacks]
    assert all("\n" not in stack.reason for stack in stacks)


def rounded_positions(files: list[Path], edit: Edit) -> None:
    for file, move in zip(files, [0, 0.05, -0.05, 0.02, -0.02, 0, 0.05, -0.05, 0.05, 0], strict=True):
        shift(file, edit, along_normal=move)


def rounded_cosines(files: list[Path], edit: Edit) -> None:
    for number, file in enumerate(files):
        cosines = np.array(pydicom.dcmread(file).ImageOrientationPatient, dtype=float) + 1e-4 * (number % 2)
        edit(file, ImageOrientationPatient=[f"{value:.6f}" for value in cosines])


def no_instance_number(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, InstanceNumber=None)


def unknown_charset(files: list[Path], edit: Edit) -> None:
    for file in files:
        raw = file.read_bytes()
        file.write_bytes(raw.replace(b"ISO_IR 100", b"ISO_IR 999"))


@pytest.mark.parametrize("harm", [rounded_positions, rounded_cosines, no_instance_number, unknown_charset])
def test_what_real_scanners_do_is_accepted(
    knee_series: Series, tmp_path: Path, edit: Edit, harm: Callable[..., None]
) -> None:
    harm(knee_series(acquired=True), edit)
    (stack,) = index_series([tmp_path])
    assert stack.usable, stack.reason
    assert stack.slices == 10


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
