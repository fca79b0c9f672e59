# SPDX-License-Identifier: Apache-2.0
"""What every instance written here has in common: file meta group, pixel module, codes, and the way to disk."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.dicom import identity
from scripts.dicom.values import quiet
from scripts.errors import DecodeError, OutputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

BITS_STORED = 12
MAX_STORED = 2**BITS_STORED - 1


def new_instance(
    sop_instance_uid: str,
    character_set: str | list[str] | None = None,
    sop_class_uid: str = identity.MR_IMAGE_STORAGE,
) -> Dataset:
    """Make an empty instance, by default a classic MR image, with its file meta group, explicit VR little endian."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    dataset = Dataset()
    if character_set is not None:
        dataset.SpecificCharacterSet = character_set
    dataset.SOPClassUID = UID(sop_class_uid)
    dataset.SOPInstanceUID = sop_instance_uid
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(identity.IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = identity.IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    return dataset


def set_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    """Fill the Image Pixel module.

    Args:
        dataset: to be filled.
        pixels: (rows, columns) or (frames, rows, columns); uint16 up to 4095, or uint8.
    """
    bits = BITS_STORED if pixels.dtype.itemsize == 2 else 8
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    dataset.add_new("SmallestImagePixelValue", "US", int(pixels.min()))
    dataset.add_new("LargestImagePixelValue", "US", int(pixels.max()))
    values = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).tobytes()
    dataset.add_new("PixelData", "OW" if bits > 8 else "OB", values + b"\0" * (len(values) % 2))


def set_window(holder: Dataset, center: float, width: float) -> None:
    """Fill the VOI LUT module, or its functional group, in stored values."""
    holder.WindowCenter = f"{center:g}"
    holder.WindowWidth = f"{width:g}"


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """Make the item of a code sequence."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def save_series(datasets: Sequence[Dataset], folder: Path, first: int = 1) -> list[Path]:
    """Write instances as ``0001.dcm``, ``0002.dcm``, ...: file names never come from UIDs.

    Args:
        datasets: in the order to be numbered.
        folder: made if absent.
        first: number of the first one.

    Returns:
        The files written, flushed to disk.

    Raises:
        DecodeError: a value that was copied from a damaged source cannot be written.
        OutputError: the folder or a file cannot be written, or a file of that name is there.
    """
    return write_files(encode_series(datasets, first), folder)


def encode_series(datasets: Sequence[Dataset], first: int = 1) -> dict[str, bytes]:
    """What `save_series` writes, by file name.

    Raises:
        DecodeError: a value that was copied from a damaged source cannot be written.
    """
    names = [f"{number:04d}.dcm" for number in range(first, first + len(datasets))]
    return {name: encode_instance(dataset, name) for name, dataset in zip(names, datasets, strict=True)}


def write_files(contents: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write files into a folder, which is made if absent, and flush them to disk.

    Raises:
        OutputError: the folder or a file cannot be written, or a file of that name is there.
    """
    paths = []
    for name, content in contents.items():
        paths.append(folder / name)
        _write(content, paths[-1])
    return paths


def save_instance(dataset: Dataset, path: Path) -> None:
    """Write one instance and flush it to disk; its folder is made if absent.

    Raises:
        DecodeError: a value that was copied from a damaged source cannot be written.
        OutputError: the file cannot be written, or is there.
    """
    _write(encode_instance(dataset, path.name), path)


def _write(content: bytes, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(f"{path.parent} cannot be written to ({reason}); give an empty folder with room") from error


def encode_instance(dataset: Dataset, name: str) -> bytes:
    """The bytes of a file. Away from the disk, whose errors have the same classes as those of damaged elements.

    Raises:
        DecodeError: a value that was copied from a damaged source cannot be written.
    """
    stream = io.BytesIO()
    try:
        with quiet():
            dataset.save_as(stream, enforce_file_format=True)
    except MemoryError:
        raise
    except Exception as error:  # elements that were copied unparsed fail in many ways
        raise DecodeError(
            f"{name} cannot be made: a value copied from its source is damaged ({type(error).__name__}); "
            "need sound headers; export the series again"
        ) from error
    return stream.getvalue()
