# SPDX-License-Identifier: Apache-2.0
"""What every instance written here has in common: file meta group, pixel module, codes, and the way to disk."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
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


def new_instance(sop_instance_uid: str, character_set: str | list[str] | None = None) -> Dataset:
    """Make an empty classic MR image with its file meta group, explicit VR little endian."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    dataset = Dataset()
    if character_set is not None:
        dataset.SpecificCharacterSet = character_set
    dataset.SOPClassUID = UID(identity.MR_IMAGE_STORAGE)
    dataset.SOPInstanceUID = sop_instance_uid
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(identity.MR_IMAGE_STORAGE)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(identity.IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = identity.IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    return dataset


def set_pixels(dataset: Dataset, pixels: np.ndarray, window_center: float, window_width: float) -> None:
    """Fill the Image Pixel and the VOI LUT module.

    Args:
        dataset: to be filled.
        pixels: uint16 (rows, columns), at most 4095.
        window_center: in stored values.
        window_width: in stored values.
    """
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = 16
    dataset.BitsStored = BITS_STORED
    dataset.HighBit = BITS_STORED - 1
    dataset.PixelRepresentation = 0
    dataset.add_new("SmallestImagePixelValue", "US", int(pixels.min()))
    dataset.add_new("LargestImagePixelValue", "US", int(pixels.max()))
    dataset.WindowCenter = f"{window_center:g}"
    dataset.WindowWidth = f"{window_width:g}"
    dataset.add_new("PixelData", "OW", np.ascontiguousarray(pixels, dtype="<u2").tobytes())


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """Make the item of a code sequence."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def save_series(datasets: Sequence[Dataset], folder: Path) -> list[Path]:
    """Write instances as ``0001.dcm``, ``0002.dcm``, ...: file names never come from UIDs.

    Args:
        datasets: in the order to be numbered.
        folder: made if absent.

    Returns:
        The files written, flushed to disk.

    Raises:
        DecodeError: a value that was copied from a damaged source cannot be written.
        OutputError: the folder or a file cannot be written, or a file of that name is there.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, dataset in enumerate(datasets, start=1):
            path = folder / f"{number:04d}.dcm"
            content = _encoded(dataset, path.name)
            with path.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            paths.append(path)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written to ({error.strerror or type(error).__name__}); give an empty folder with room"
        ) from error
    return paths


def _encoded(dataset: Dataset, name: str) -> bytes:
    """The bytes of a file. Away from the disk, whose errors have the same classes as those of damaged elements."""
    stream = io.BytesIO()
    try:
        with quiet():
            dataset.save_as(stream, enforce_file_format=True)
    except Exception as error:  # elements that were copied unparsed fail in many ways
        raise DecodeError(
            f"{name} cannot be made: a value copied from its source is damaged ({type(error).__name__}); "
            "need sound headers; export the series again"
        ) from error
    return stream.getvalue()
