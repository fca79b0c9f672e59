# SPDX-License-Identifier: Apache-2.0
"""Voxels and geometry come back as they were written; what cannot be trusted is refused."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from scripts.dicom.index import index_series
from scripts.dicom.read import named_headers, read_slices, read_stack
from scripts.errors import DecodeError, GeometryError

Series = Callable[..., list[Path]]
Edit = Callable[..., None]


def stored(files: list[Path]) -> np.ndarray:
    return np.stack([np.frombuffer(pydicom.dcmread(f).PixelData, "<u2").reshape(20, 24) for f in files])


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
@pytest.mark.parametrize("tilt", [0.0, 0.25])
def test_voxels_and_places(knee_series: Series, plane: str, tilt: float) -> None:
    files = knee_series(plane=plane, tilt=tilt)
    volume = read_stack(files)
    assert volume.array.dtype == np.float32 and volume.array.shape == (10, 20, 24)
    np.testing.assert_array_equal(volume.array, stored(list(volume.files)))
    assert volume.spacing_mm == pytest.approx((3.3, 0.5, 0.4), abs=1e-6)
    for index, file in enumerate(volume.files):
        corner = volume.affine_lps @ [index, 0, 0, 1]
        np.testing.assert_allclose(corner[:3], pydicom.dcmread(file).ImagePositionPatient, atol=1e-5)


@pytest.mark.validators
def test_jpeg_lossless_of_another_maker(knee_series: Series) -> None:
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmcjpeg (Debian's dcmtk) is not installed")
    files = knee_series(slices=5)
    before = read_stack(files)
    for file in files:
        subprocess.run(["dcmcjpeg", "+e1", str(file), str(file)], check=True)
    np.testing.assert_array_equal(read_stack(files).array, before.array)


def truncated(files: list[Path], edit: Edit) -> None:
    files[3].write_bytes(files[3].read_bytes()[:-200])


def truncated_stream(files: list[Path], edit: Edit) -> None:
    dataset = pydicom.dcmread(files[3])
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(files[3])
    files[3].write_bytes(files[3].read_bytes()[:-200])


def damaged_stream(files: list[Path], edit: Edit) -> None:
    dataset = pydicom.dcmread(files[3])
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.save_as(files[3])
    data = bytearray(files[3].read_bytes())
    place = data.rindex(b"\xff\x4f\xff\x51")
    data[place : place + 60] = b"\0" * 60
    files[3].write_bytes(data)


def text_file(files: list[Path], edit: Edit) -> None:
    files[3].write_text("hello")


def gone(files: list[Path], edit: Edit) -> None:
    files[3].unlink()


def colour(files: list[Path], edit: Edit) -> None:
    edit(files[3], SamplesPerPixel=3, PhotometricInterpretation="RGB", PixelData=b"\0" * 11520)


def huge(files: list[Path], edit: Edit) -> None:
    dataset = pydicom.dcmread(files[3])
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.Rows = dataset.Columns = 20000
    dataset.save_as(files[3])


def bad_slope(files: list[Path], edit: Edit) -> None:
    edit(files[3], RescaleSlope="9.5", RescaleIntercept="0")
    files[3].write_bytes(files[3].read_bytes().replace(b"9.5 ", b"x.y "))


@pytest.mark.parametrize(
    "damage", [truncated, truncated_stream, damaged_stream, text_file, gone, colour, huge, bad_slope]
)
def test_what_cannot_be_decoded_is_an_error(knee_series: Series, edit: Edit, damage: Callable[..., None]) -> None:
    files = knee_series(shape=(40, 48))
    damage(files, edit)
    with pytest.raises(DecodeError) as caught:
        read_stack(files)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless], ids=lambda s: UID(s).keyword)
def test_a_stream_larger_than_its_header_is_not_decoded(knee_series: Series, syntax: UID) -> None:
    files = knee_series(shape=(40, 48))
    dataset = pydicom.dcmread(files[3])
    dataset.compress(syntax, generate_instance_uid=False)
    size = (struct.pack(">II", 48, 40), struct.pack(">II", 60000, 60000))
    if syntax == JPEGLSLossless:
        size = (struct.pack(">HH", 40, 48), struct.pack(">HH", 60000, 60000))
    assert dataset.PixelData.count(size[0]) == 1 or syntax == JPEG2000Lossless
    dataset.PixelData = dataset.PixelData.replace(*size, 1)
    dataset.save_as(files[3])
    with pytest.raises(DecodeError, match="60000 x 60000"):
        read_stack(files)


def missing_slice(files: list[Path], edit: Edit) -> None:
    files.pop(4)


def two_echoes(files: list[Path], edit: Edit) -> None:
    edit(files[4], EchoTime="90")


def other_series(files: list[Path], edit: Edit) -> None:
    edit(files[4], SeriesInstanceUID="1.2.3")


def other_matrix(files: list[Path], edit: Edit) -> None:
    edit(files[4], Rows=10, PixelData=b"\0\0" * 240)


def no_place(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, ImagePositionPatient=...)


@pytest.mark.parametrize("damage", [missing_slice, two_echoes, other_series, other_matrix, no_place])
def test_what_is_no_single_stack_is_an_error(knee_series: Series, edit: Edit, damage: Callable[..., None]) -> None:
    files = knee_series()
    damage(files, edit)
    with pytest.raises(GeometryError):
        read_stack(files)


def test_no_files_is_an_error() -> None:
    with pytest.raises(DecodeError):
        read_stack([])


@pytest.mark.real_data
def test_the_real_knee_at_25_ms(real_data: Path) -> None:
    stack = next(s for s in index_series([real_data / "pymskt"]) if s.echo_time and abs(s.echo_time - 0.0252) < 1e-4)
    volume = read_stack(stack.files)
    assert volume.array.shape == (24, 256, 256)
    assert volume.spacing_mm == pytest.approx((4.0, 0.625, 0.625), abs=1e-4)
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in volume.files]
    assert {float(header.EchoTime) for header in headers} == {25.248}
    # the header's own extremes are an independent witness of byte order and sign
    for values, header in zip(volume.array, headers, strict=True):
        assert (values.min(), values.max()) == (header.SmallestImagePixelValue, header.LargestImagePixelValue)


@pytest.mark.real_data
def test_every_real_codec_decodes(real_data: Path) -> None:
    """The lossless files of one object must give the same pixels; the near-lossless ones nearly so."""
    files = sorted((real_data / "weasis" / "enhanced_knee").glob("*.dcm"))
    headers = [named_headers([file]) for file in files]
    assert [len(frames) for frames in headers] == [19] * 11
    plain = next(f for f in files if not pydicom.dcmread(f).file_meta.TransferSyntaxUID.is_compressed)
    truth = read_slices(named_headers([plain]))
    assert sum(bool(frames[0].lossy) for frames in headers) == 2
    for frames in headers:
        worst = np.abs(read_slices(frames) - truth).max()
        assert worst <= (0.2 * truth.max() if frames[0].lossy else 0.0), frames[0].path.name
