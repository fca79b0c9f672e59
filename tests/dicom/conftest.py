# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from scripts.dicom.write import Provenance


@pytest.fixture
def edit() -> Callable[..., None]:
    """A function that sets attributes of a file; the value ``...`` deletes one."""

    def change(file: Path, **attributes: Any) -> None:
        import pydicom

        dataset = pydicom.dcmread(file)
        for keyword, value in attributes.items():
            if value is ...:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        if "SOPInstanceUID" in attributes:
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(file, enforce_file_format=True)

    return change


@pytest.fixture
def provenance() -> Provenance:
    return Provenance("test model", "1.2.3", "ab" * 32, {"to": "PDFS"}, datetime(2030, 1, 2, 3, 4, 5))


@pytest.fixture
def enhanced() -> Callable[..., Path]:
    """A function that makes one Enhanced MR file of classic ones, a frame for each, in the order given."""
    import numpy as np
    import pydicom
    from pydicom.dataset import Dataset

    def one(**values: Any) -> list[Dataset]:
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        return [item]

    def make(
        path: Path,
        files: list[Path],
        *,
        echo_times: list[float] | None = None,
        slopes: list[float] | None = None,
        **top: Any,
    ) -> Path:
        sources = [pydicom.dcmread(file) for file in files]
        first = sources[0]
        dataset = Dataset()
        dataset.file_meta = first.file_meta
        for element in first:
            if element.keyword not in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "EchoTime",
                                       "RepetitionTime", "SliceThickness", "ScanningSequence", "ScanOptions",
                                       "SmallestImagePixelValue", "LargestImagePixelValue"):  # fmt: skip
                dataset[element.tag] = element
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        dataset.EchoPulseSequence, dataset.NumberOfFrames = "SPIN", len(sources)
        shared, frames = Dataset(), []
        shared.PixelMeasuresSequence = one(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
        shared.PlaneOrientationSequence = one(ImageOrientationPatient=first.ImageOrientationPatient)
        shared.MRTimingAndRelatedParametersSequence = one(RepetitionTime=first.RepetitionTime)
        dataset.SharedFunctionalGroupsSequence = [shared]
        for index, source in enumerate(sources):
            frame = Dataset()
            frame.PlanePositionSequence = one(ImagePositionPatient=source.ImagePositionPatient)
            frame.MREchoSequence = one(EffectiveEchoTime=echo_times[index] if echo_times else float(source.EchoTime))
            frame.PixelValueTransformationSequence = one(
                RescaleSlope=slopes[index] if slopes else 1, RescaleIntercept=0, RescaleType="US"
            )
            frames.append(frame)
        dataset.PerFrameFunctionalGroupsSequence = frames
        dataset.add_new("PixelData", "OW", np.stack([source.pixel_array for source in sources]).tobytes())
        for keyword, value in top.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return make
