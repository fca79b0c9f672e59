# SPDX-License-Identifier: Apache-2.0
"""Makes ``scripts/selftest/frames.json`` anew: python tests/selftest/encode_frames.py

It needs Pillow and GDCM beside the decoders that the project installs, since those do not write every codec.
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import UID

from scripts.dicom.study import write_simulated_study
from scripts.selftest.decoders import FRAMES, TOLERANCES, frame_pattern
from scripts.selftest.phantom import phantom_series

OPTIONS = {"4.81": {"jls_error": 2}, "4.91": {"j2k_psnr": [70]}}
BY_GDCM = {"4.57": "JPEGLosslessProcess14", "4.70": "JPEGLosslessProcess14_1"}


def compressed(path: Path, syntax: str) -> bytes:
    """The one frame of a file, compressed."""
    end = syntax.removeprefix("1.2.840.10008.1.2.")
    if end == "4.50":
        stream = io.BytesIO()
        Image.fromarray((frame_pattern() >> 4).astype(np.uint8)).save(stream, "JPEG", quality=100)
        return stream.getvalue()
    dataset = pydicom.dcmread(path)
    if end in BY_GDCM:
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, BY_GDCM[end])))
        change.SetInput(reader.GetImage())
        change.Change()
        writer.SetFileName(str(path.with_suffix(".jpeg")))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.Write()
        dataset = pydicom.dcmread(path.with_suffix(".jpeg"))
    else:
        dataset.compress(UID(syntax), generate_instance_uid=False, **OPTIONS.get(end, {}))
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_simulated_study(Path(folder), [phantom_series("PD")], 0)[0]
        dataset = pydicom.dcmread(path)
        dataset.Rows, dataset.Columns = frame_pattern().shape
        dataset.PixelData = frame_pattern().tobytes()
        dataset.save_as(path)
        frames = {syntax: base64.b64encode(compressed(path, syntax)).decode() for syntax in TOLERANCES}
    FRAMES.write_text(json.dumps(frames, indent=0) + "\n")


if __name__ == "__main__":
    main()
