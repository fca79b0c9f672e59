# SPDX-License-Identifier: Apache-2.0
"""From the files of one stack to a volume: decoded, rescaled slice by slice, in spatial order, or refused.

pydicom decodes; order and geometry are our own (`geometry`): the tolerances of library readers are either too strict
for real scanners or absent, and MONAI Label's environment has no highdicom, which is what tests compare with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.dicom.apart import Decoder, DecoderFailed
from scripts.dicom.files import split_address
from scripts.dicom.frames import Frame
from scripts.dicom.geometry import affine_of, examine
from scripts.dicom.grouping import contradictions, group_headers
from scripts.dicom.headers import Header
from scripts.dicom.parsing import read_headers
from scripts.dicom.pixels import MAX_BYTES, stream_problem
from scripts.dicom.pydicom_versions import assume_syntax
from scripts.dicom.values import integer, numbers, quiet, text
from scripts.errors import DecodeError, GeometryError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

logger = logging.getLogger(__name__)

# What decoding needs; the rest of a header may be large.
_TAGS = (
    "SpecificCharacterSet SOPClassUID SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames "
    "Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation RescaleSlope RescaleIntercept "
    "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence ExtendedOffsetTable ExtendedOffsetTableLengths "
    "PixelData"
).split()


@dataclass(frozen=True)
class Volume:
    """A stack in memory.

    Attributes:
        array: float32 (slices, rows, columns), modality values (rescale slope and intercept applied per slice).
        affine_lps: (4, 4) float64, maps (slice, row, column, 1) to LPS mm.
        files: the file, or the address of the frame, of each slice, in slice order.
    """

    array: np.ndarray
    affine_lps: np.ndarray
    files: tuple[Path, ...]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between slices, between rows, between columns in mm."""
        slices, rows, columns = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(slices), float(rows), float(columns)


def read_stack(files: Sequence[Path]) -> Volume:
    """Read the MR images of one stack.

    Args:
        files: classic files with one slice each, in any order; or Enhanced files, whole or as addresses of frames.

    Returns:
        The volume, slices ascending along the normal.

    Raises:
        DecodeError: a file is missing, damaged, too large, or in a codec that cannot be decoded here.
        GeometryError: the files do not form one regular stack.
    """
    if not files:
        raise DecodeError("no files were given; give the files of one stack")
    headers = named_headers([Path(file) for file in files])
    if sum(header.decoded_bytes for header in headers) > MAX_BYTES:
        raise DecodeError(f"{len(headers)} slices claim more than 2 GiB of pixels; give the files of one stack")
    headers, step = _in_order(headers)
    first = headers[0]
    array = read_slices(headers)
    if first.photometric == "MONOCHROME1":
        logger.info("MONOCHROME1 was inverted: high values are bright")
    affine = affine_of(
        np.array([header.position for header in headers]),
        first.orientation or (),
        first.pixel_spacing or (0.0, 0.0),  # type: ignore[arg-type]
        step,
    )
    return Volume(array, affine, tuple(header.address for header in headers))


def read_slices(headers: Sequence[Header]) -> np.ndarray:
    """Decode some images of one matrix, without a look at where they lie.

    Args:
        headers: sound ones, see `named_headers`.

    Returns:
        float32 (images, rows, columns), modality values.

    Raises:
        DecodeError: a file cannot be decoded.
    """
    array = np.empty((len(headers), headers[0].rows, headers[0].columns), dtype=np.float32)
    places: dict[Path, list[int]] = {}
    for index, header in enumerate(headers):
        places.setdefault(header.path, []).append(index)
    with Decoder() as decoder:
        for indices in places.values():
            for index, values in zip(indices, _decode([headers[i] for i in indices], decoder), strict=True):
                array[index] = values
    return array


def named_headers(files: Sequence[Path]) -> list[Header]:
    """Read the headers of the images that are named, each file once.

    Raises:
        DecodeError: one is no image that can be decoded here.
    """
    addresses = [split_address(file) for file in files]
    paths = list(dict.fromkeys(path for path, _ in addresses))
    images = dict(zip(paths, read_headers(paths), strict=True))
    headers = []
    for path, frame in addresses:
        found = images[path]
        named = [header for header in found if not frame or header.frame == frame or header.problem]
        if not named:
            what = f"has no frame {frame}" if found else "is no DICOM image"
            raise DecodeError(f"{path.name} {what}; give the files of one MR stack")
        for header in named:
            _check(header)
        headers += named
    return headers


def _check(header: Header) -> None:
    name = header.path.name
    if header.problem:
        raise DecodeError(f"{name} cannot be decoded: {header.problem}; export the series again")
    if header.frames != 1:
        raise DecodeError(f"{name} is a multi-frame file and no Enhanced MR; convert it to classic MR images")
    if header.samples != 1 or header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise DecodeError(f"{name} is not a grey-scale image; give the acquired series")


def _in_order(headers: list[Header]) -> tuple[list[Header], float]:
    """Sort by place; refuse what is not one regular stack. Gives also the slice distance in mm."""
    series = group_headers(headers)
    if len(series) > 1:
        raise GeometryError(f"the files belong to {len(series)} series; give the files of one stack")
    if len(series[0]) > 1:
        reason = next(filter(None, contradictions(series[0])), "several echoes, planes or kinds of image are mixed")
        raise GeometryError(f"{reason}; give the files of one stack")
    first = headers[0]
    if any(header.position is None or header.orientation is None for header in headers):
        raise GeometryError("slices have no position or orientation; a volume needs both: export the original series")
    if first.pixel_spacing is None or min(first.pixel_spacing) <= 0:
        raise GeometryError("PixelSpacing is missing; a volume needs it: export the original series")
    geometry = examine(np.array([header.position for header in headers]), first.orientation or ())
    if geometry.problem:
        raise GeometryError(f"{geometry.problem}; export the complete, original series")
    return [headers[index] for index in geometry.order], geometry.spacing or first.slice_thickness or 1.0


def _decode(headers: Sequence[Header], decoder: Decoder) -> Iterator[np.ndarray]:
    """Decode images of one file to modality values, float64 (rows, columns) each."""
    import pydicom

    path, claimed = headers[0].path, (headers[0].rows, headers[0].columns)
    with quiet():
        try:
            dataset = pydicom.dcmread(path, force=True, specific_tags=list(_TAGS))
            assume_syntax(dataset)
            problem = stream_problem(dataset)
            stored = None if problem else _pixels(dataset, path, decoder)
        except MemoryError:
            raise
        except Exception as error:  # each codec fails in its own way
            why = str(error) if isinstance(error, DecoderFailed) else type(error).__name__
            raise DecodeError(
                f"{path.name} cannot be decoded ({why}); export the series again, uncompressed"
            ) from error
    if stored is not None and stored.ndim == 2:
        stored = stored[None]
    frames = [max(header.frame, 1) - 1 for header in headers]
    if stored is None or stored.shape[1:] != claimed or max(frames) >= len(stored):
        problem = problem or f"{claimed[0]} x {claimed[1]} pixels are expected"
        raise DecodeError(f"{path.name} cannot be decoded: {problem}; export the series again, uncompressed")
    for header, frame in zip(headers, frames, strict=True):
        values = stored[frame].astype(np.float64)
        if header.photometric == "MONOCHROME1":
            values = _stored_extremes(dataset) - values
        holder = Frame(dataset, header.frame).holder("RescaleSlope", "PixelValueTransformationSequence")
        yield values * _number(holder, "RescaleSlope", 1.0) + _number(holder, "RescaleIntercept", 0.0)


def _pixels(dataset: Dataset, path: Path, decoder: Decoder) -> np.ndarray:
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return dataset.pixel_array
    size = int(dataset.Rows) * int(dataset.Columns) * (integer(dataset, "NumberOfFrames") or 1)
    return decoder.pixels(path, _TAGS, size * max(int(dataset.BitsAllocated) // 8, 1))


def _stored_extremes(dataset: Dataset) -> float:
    """Give the sum of the smallest and largest value that can be stored; the inverse of v is that sum minus v."""
    bits = int(dataset.BitsStored)
    return -1.0 if int(dataset.PixelRepresentation) else float(2**bits - 1)


def _number(dataset: Dataset | None, keyword: str, default: float) -> float:
    found = numbers(dataset, keyword, 1)
    if found is None and text(dataset, keyword):
        raise DecodeError(f"{keyword} is not a number; export the series again")
    return default if found is None else found[0]
