# SPDX-License-Identifier: Apache-2.0
"""What a scanner, an archive or a router may rightly do to a series: each row gives the same volume as the plain one.

highdicom reads the same files as an independent witness of places and values.
"""

from __future__ import annotations

import io
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from scripts.dicom.geometry import normal_of
from scripts.dicom.index import index
from scripts.dicom.read import Volume, read_stack

Series = Callable[..., list[Path]]
Edit = Callable[..., None]

SLICES, ROWS, COLUMNS = 6, 32, 36  # JPEG 2000 with its usual five levels needs 32 pixels a side


def rewrite(files: list[Path], change: Callable[[pydicom.Dataset], None], **options: Any) -> None:
    for file in files:
        dataset = pydicom.dcmread(file)
        for element in dataset:
            _ = element.value  # parsed while the old encoding is known
        change(dataset)
        pydicom.dcmwrite(file, dataset, **(options or {"enforce_file_format": True}))


def shift(files: list[Path], moves: list[float]) -> None:
    for file, move in zip(files, moves, strict=True):
        dataset = pydicom.dcmread(file)
        normal = normal_of(tuple(float(v) for v in dataset.ImageOrientationPatient))
        moved = np.array(dataset.ImagePositionPatient, dtype=float) + move * normal
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in moved]
        dataset.save_as(file)


def compressed(syntax: str, **options: Any) -> Callable[[list[Path], Edit], None]:
    return lambda files, edit: rewrite(
        files, lambda d: d.compress(UID(syntax), generate_instance_uid=False, **options), enforce_file_format=True
    )


def jpeg_lossless(process: str) -> Callable[[list[Path], Edit], None]:
    """No Python package here writes it but GDCM."""

    def harm(files: list[Path], edit: Edit) -> None:
        import gdcm

        for file in files:
            reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
            reader.SetFileName(str(file))
            assert reader.Read()
            change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
            change.SetInput(reader.GetImage())
            assert change.Change()
            writer.SetFileName(str(file))
            writer.SetFile(reader.GetFile())
            writer.SetImage(change.GetOutput())
            assert writer.Write()

    return harm


def jpeg_8_bit(files: list[Path], edit: Edit) -> None:
    from PIL import Image
    from pydicom.encaps import encapsulate

    for file in files:
        dataset = pydicom.dcmread(file)
        stream = io.BytesIO()
        Image.fromarray((dataset.pixel_array >> 4).astype(np.uint8)).save(stream, "JPEG", quality=100)
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.RescaleSlope, dataset.RescaleIntercept = 7, "16", "8"
        dataset.PixelData = encapsulate([stream.getvalue()])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
        dataset.save_as(file)


def encoded(syntax: str, implicit: bool, little: bool) -> Callable[[list[Path], Edit], None]:
    def change(dataset: pydicom.Dataset) -> None:
        if not little:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax

    return lambda files, edit: rewrite(files, change, implicit_vr=implicit, little_endian=little)


def without_preamble(syntax: str, implicit: bool, little: bool) -> Callable[[list[Path], Edit], None]:
    def harm(files: list[Path], edit: Edit) -> None:
        encoded(syntax, implicit, little)(files, edit)
        for file in files:
            dataset = pydicom.dcmread(file)
            del dataset.file_meta
            dataset.preamble = None
            dataset.save_as(file, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
            assert file.read_bytes()[128:132] != b"DICM"

    return harm


def no_instance_number(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, InstanceNumber=None)


def equal_instance_numbers(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, InstanceNumber=7)


def shuffled_names_and_numbers(files: list[Path], edit: Edit) -> None:
    names = [f"{n:05d}" for n in range(SLICES)]
    random.Random(3).shuffle(names)
    for number, (file, name) in enumerate(zip(files, names, strict=True)):
        edit(file, InstanceNumber=100 - number)
        file.rename(file.with_name(name))


def junk(files: list[Path], edit: Edit) -> None:
    folder = files[0].parent
    (folder / "readme.txt").write_text("hello")
    (folder / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    (folder / "empty.log").touch()
    (folder / "almost.bin").write_bytes(b"\x08\x00" + bytes(range(256)) * 4)


def dicomdir(files: list[Path], edit: Edit) -> None:
    dataset = pydicom.dcmread(files[0])
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.1.3.10"
    dataset.save_as(files[0].parent / "DICOMDIR", enforce_file_format=True)


def nested_folders(files: list[Path], edit: Edit) -> None:
    for number, file in enumerate(files):
        folder = file.parent.joinpath(*["deep"] * number, str(number))
        folder.mkdir(parents=True)
        file.rename(folder / file.name)


def names_of_a_router(files: list[Path], edit: Edit) -> None:
    (files[0].parent / "task.json").write_text("{}")
    for number, file in enumerate(files):
        file.rename(file.with_name(f"1.2.3#1.2.3.{number}.dcm"))
        file.with_name(f"1.2.3#1.2.3.{number}.tags").write_text("{}")


def links_that_run_in_a_circle(files: list[Path], edit: Edit) -> None:
    folder = files[0].parent
    (folder / "again").symlink_to(folder, target_is_directory=True)
    (folder / "up").symlink_to(folder.parent, target_is_directory=True)
    (folder / "itself").symlink_to("itself")
    (folder / "twin.dcm").symlink_to(files[0])


def rounded_cosines(files: list[Path], edit: Edit) -> None:
    for number, file in enumerate(files):
        cosines = np.array(pydicom.dcmread(file).ImageOrientationPatient, dtype=float) + 1e-4 * (number % 2)
        edit(file, ImageOrientationPatient=[f"{value:.6f}" for value in cosines])


def jitter(mm: float) -> Callable[[list[Path], Edit], None]:
    return lambda files, edit: shift(files, [0, mm, -mm, mm / 2, -mm, 0])


def unknown_charset(files: list[Path], edit: Edit) -> None:
    for file in files:
        file.write_bytes(file.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 999"))


def duplicate_file(files: list[Path], edit: Edit) -> None:
    shutil.copy(files[3], files[3].with_name("copy.dcm"))


def duplicate_with_another_preamble(files: list[Path], edit: Edit) -> None:
    dataset = pydicom.dcmread(files[3])
    dataset.preamble = b"x" * 128
    dataset.save_as(files[3].with_name("copy.dcm"), enforce_file_format=True)


def rescaled(files: list[Path], edit: Edit) -> None:
    """Stored values change from slice to slice; slope and intercept undo it."""
    for number, file in enumerate(files):
        slope, intercept = (0.5, -3.0) if number % 2 else (0.25, -2.0)
        pixels = np.rint((pydicom.dcmread(file).pixel_array - intercept) / slope).astype("<u2")
        edit(file, RescaleSlope=str(slope), RescaleIntercept=str(intercept), BitsStored=16, HighBit=15,
             PixelData=pixels.tobytes())  # fmt: skip


def monochrome1(files: list[Path], edit: Edit) -> None:
    for file in files:
        negative = (4095 - pydicom.dcmread(file).pixel_array).astype("<u2").tobytes()
        edit(file, PhotometricInterpretation="MONOCHROME1", PixelData=negative)


def signed(files: list[Path], edit: Edit) -> None:
    for file in files:
        values = pydicom.dcmread(file).pixel_array.astype("<i2") - 2000
        edit(file, PixelRepresentation=1, BitsStored=16, HighBit=15, PixelData=values.tobytes(),
             RescaleSlope="1", RescaleIntercept="2000",
             SmallestImagePixelValue=..., LargestImagePixelValue=...)  # fmt: skip


def signed_jpeg_2000(files: list[Path], edit: Edit) -> None:
    signed(files, edit)
    compressed("1.2.840.10008.1.2.4.90")(files, edit)


# Row; what is done to six good slices; a word of the note that the user gets, or "".
ROWS_OF_MATRIX: list[tuple[str, Callable[[list[Path], Edit], None], str]] = [
    ("no InstanceNumber", no_instance_number, ""),
    ("InstanceNumber all equal", equal_instance_numbers, ""),
    ("file names and InstanceNumber against the order of place", shuffled_names_and_numbers, ""),
    ("readme, .DS_Store and other junk", junk, ""),
    ("DICOMDIR present", dicomdir, ""),
    ("nested subfolders", nested_folders, ""),
    ("files with # beside .tags and task.json", names_of_a_router, ""),
    ("links that run in a circle", links_that_run_in_a_circle, ""),
    ("no preamble, explicit", without_preamble("1.2.840.10008.1.2.1", False, True), ""),
    ("no preamble, implicit", without_preamble("1.2.840.10008.1.2", True, True), ""),
    ("no preamble, big endian", without_preamble("1.2.840.10008.1.2.2", False, False), ""),
    ("slice jitter 0.005 mm", jitter(0.005), ""),
    ("slice jitter 0.02 mm", jitter(0.02), ""),
    ("slice jitter 0.05 mm", jitter(0.05), ""),
    ("cosines rounded to 1e-4 between slices", rounded_cosines, ""),
    ("unknown character set", unknown_charset, "character set"),
    ("duplicate file", duplicate_file, "copy was left out"),
    ("duplicate with another preamble", duplicate_with_another_preamble, "copy was left out"),
    ("RescaleSlope per slice", rescaled, ""),
    ("MONOCHROME1", monochrome1, "MONOCHROME1"),
    ("signed pixels", signed, ""),
    ("implicit little endian", encoded("1.2.840.10008.1.2", True, True), ""),
    ("explicit big endian", encoded("1.2.840.10008.1.2.2", False, False), ""),
    ("deflated", encoded("1.2.840.10008.1.2.1.99", False, True), ""),
    ("RLE", compressed("1.2.840.10008.1.2.5"), ""),
    ("JPEG-LS lossless", compressed("1.2.840.10008.1.2.4.80"), ""),
    ("JPEG 2000 lossless", compressed("1.2.840.10008.1.2.4.90"), ""),
    ("JPEG 2000 lossless, signed", signed_jpeg_2000, ""),
    ("JPEG lossless, process 14", jpeg_lossless("JPEGLosslessProcess14"), ""),
    ("JPEG lossless, first-order prediction", jpeg_lossless("JPEGLosslessProcess14_1"), ""),
    ("JPEG-LS near-lossless", compressed("1.2.840.10008.1.2.4.81", jls_error=2), "lossy"),
    ("JPEG of 8 bits", jpeg_8_bit, "lossy"),
    ("JPEG 2000 lossy", compressed("1.2.840.10008.1.2.4.91", j2k_psnr=[50]), "lossy"),
]


@pytest.mark.parametrize(("row", "harm", "note"), ROWS_OF_MATRIX, ids=[case[0] for case in ROWS_OF_MATRIX])
def test_accepted(
    knee_series: Series, tmp_path: Path, edit: Edit, row: str, harm: Callable[[list[Path], Edit], None], note: str
) -> None:
    files = knee_series(slices=SLICES, shape=(ROWS, COLUMNS), acquired=True)
    plain = read_stack(files)
    harm(files, edit)
    (stack,) = index([tmp_path]).stacks
    assert stack.usable and stack.slices == SLICES, stack.reason
    assert [note in text for text in stack.notes] == ([True] if note else [])
    assert stack.lossy == (note == "lossy")
    volume = read_stack(stack.files)
    _assert_alike(volume, plain, off_by=0.1 * plain.array.max() if stack.lossy else 0.0)
    if "no preamble" not in row:  # without a transfer syntax highdicom does not decode
        _assert_highdicom_agrees(volume)


def _assert_alike(volume: Volume, plain: Volume, off_by: float) -> None:
    assert volume.array.shape == plain.array.shape
    assert np.abs(volume.array - plain.array).max() <= off_by
    corners = np.array([[s, r, c, 1] for s in (0, SLICES - 1) for r in (0, ROWS - 1) for c in (0, COLUMNS - 1)])
    assert np.linalg.norm((corners @ (volume.affine_lps - plain.affine_lps).T)[:, :3], axis=1).max() < 0.1


def _assert_highdicom_agrees(volume: Volume) -> None:
    import highdicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = highdicom.get_volume_from_series(
            [pydicom.dcmread(file, force=True) for file in volume.files],
            rtol=0.05,
            orientation_tol=1e-3,
            perpendicular_tol=1e-2,
            apply_real_world_transform=False,
            apply_voi_transform=False,
        )
    into_theirs = np.linalg.inv(theirs.affine) @ volume.affine_lps
    voxels = np.stack(np.indices(volume.array.shape), -1).reshape(-1, 3)
    places = (np.c_[voxels, np.ones(len(voxels))] @ into_theirs.T)[:, :3]
    np.testing.assert_allclose(places, np.rint(places), atol=0.05)
    found = theirs.array[tuple(np.rint(places).astype(int).T)]
    np.testing.assert_allclose(found, volume.array.reshape(-1), rtol=1e-5)
