# SPDX-License-Identifier: Apache-2.0
"""Whether each codec that a scanner or an archive may have used is decoded here, and rightly.

The images are stored compressed (``frames.json``), so that no encoder is needed and none hides a decoder's fault.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np

from scripts.errors import DecodeError

FRAMES = Path(__file__).parent / "frames.json"

# Transfer syntax to the largest error that its kind of loss may leave, of 4096; 0 for a lossless one.
TOLERANCES = {
    "1.2.840.10008.1.2.5": 0,
    "1.2.840.10008.1.2.4.50": 40,  # eight of twelve bits, and a little more
    "1.2.840.10008.1.2.4.57": 0,
    "1.2.840.10008.1.2.4.70": 0,
    "1.2.840.10008.1.2.4.80": 0,
    "1.2.840.10008.1.2.4.81": 2,
    "1.2.840.10008.1.2.4.90": 0,
    "1.2.840.10008.1.2.4.91": 8,
}
_JPEG_8_BIT = "1.2.840.10008.1.2.4.50"


def frame_pattern() -> np.ndarray:
    """What each stored frame shows: uint16 (32, 40), a ramp of 12 bits along both axes with one step in it."""
    rows, columns = np.mgrid[:32, :40]
    return np.asarray(20 * rows + 60 * columns + 900 * (rows > columns), dtype=np.uint16)


def check_decoders(source: Path, folder: Path) -> tuple[str, None]:
    """Decode each stored frame by the reader of this project.

    Args:
        source: a DICOM file whose header the frames are given.
        folder: where to write them.

    Returns:
        How many there are, and nothing.

    Raises:
        DecodeError: some cannot be decoded, or to other pixels.
    """
    from pydicom.uid import UID

    faults = {}
    frames: dict[str, str] = json.loads(FRAMES.read_text(encoding="utf-8"))
    for syntax, frame in frames.items():
        fault = _fault(syntax, base64.b64decode(frame), source, folder / f"{syntax}.dcm")
        if fault:
            faults[UID(syntax).name] = fault
    if faults:
        named = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
        raise DecodeError(
            f"{named}; need each to be decoded; install python-gdcm, pyjpegls, pylibjpeg-openjpeg and pylibjpeg-rle"
        )
    return f"all {len(frames)} decode", None


def _fault(syntax: str, frame: bytes, source: Path, path: Path) -> str:
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    from scripts.dicom.read import read_stack

    wanted = frame_pattern()
    dataset = pydicom.dcmread(source)
    dataset.Rows, dataset.Columns = wanted.shape
    if syntax == _JPEG_8_BIT:
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.RescaleSlope, dataset.RescaleIntercept = 7, "16", "8"
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.save_as(path)
    try:
        found = read_stack([path]).array[0]
    except DecodeError as error:
        return str(error)
    apart = float(np.abs(found - wanted).max())
    return f"pixels are off by {apart:g}" if apart > TOLERANCES[syntax] else ""
