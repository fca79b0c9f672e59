# SPDX-License-Identifier: Apache-2.0
"""Where pydicom 2, which MONAI Label's environment holds, differs from pydicom 3 for who reads; writing needs 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

_SYNTHETIC_DATA = 0x0008001C


def know_synthetic_data() -> None:
    """Teach pydicom the attribute that marks synthetic images, which is younger than its version 2."""
    from pydicom import datadict

    if datadict.tag_for_keyword("SyntheticData") is None:
        datadict.add_dict_entry(_SYNTHETIC_DATA, "CS", "SyntheticData", "Synthetic Data")


def is_implicit(dataset: Dataset) -> bool:
    """Whether a data set was read as implicit VR."""
    if hasattr(dataset, "original_encoding"):
        return bool(dataset.original_encoding[0])
    return bool(dataset.read_implicit_vr)


def assume_syntax(dataset: Dataset) -> None:
    """Fill in the transfer syntax of a file without meta group, as it was found by trying: decoding goes by it."""
    from pydicom import uid

    if "TransferSyntaxUID" in dataset.file_meta:
        return
    little = dataset.original_encoding[1] if hasattr(dataset, "original_encoding") else dataset.read_little_endian
    explicit = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if is_implicit(dataset) else explicit


def can_decode(syntax: UID) -> bool:
    """Whether a decoder for a compressed transfer syntax is installed.

    Raises:
        NotImplementedError: no still-image codec.
    """
    try:
        from pydicom.pixels import get_decoder
    except ImportError:
        from pydicom import config

        handlers = config.pixel_data_handlers
        return any(handler.is_available() and handler.supports_transfer_syntax(syntax) for handler in handlers)
    return bool(get_decoder(syntax).is_available)


def compressed_frames(encapsulated: bytes, count: int) -> Iterator[bytes]:
    """The compressed streams of all frames."""
    try:
        from pydicom.encaps import generate_frames
    except ImportError:
        from pydicom.encaps import generate_pixel_data_frame

        return generate_pixel_data_frame(encapsulated, count)
    return generate_frames(encapsulated, number_of_frames=count)
