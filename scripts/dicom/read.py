# SPDX-License-Identifier: Apache-2.0
"""From the files of one stack to a volume: decoded, rescaled slice by slice, in spatial order, or refused.

pydicom decodes; order and geometry are our own (`geometry`), because the tolerances of the library readers are either
too strict for real scanners or absent.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.dicom.geometry import affine_of, examine
from scripts.dicom.grouping import contradictions, group_headers
from scripts.dicom.headers import Header, read_header
from scripts.dicom.pixels import MAX_BYTES, stream_problem
from scripts.dicom.values import numbers, quiet, text
from scripts.errors import DecodeError, GeometryError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Volume:
    """A stack in memory.

    Attributes:
        array: float32 (slices, rows, columns), modality values (rescale slope and intercept applied per slice).
        affine_lps: (4, 4) float64, maps (slice, row, column, 1) to LPS mm.
        files: the file of each slice, in slice order.
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
    """Read the classic MR files of one stack.

    Args:
        files: one file per slice, in any order.

    Returns:
        The volume, slices ascending along the normal.

    Raises:
        DecodeError: a file is missing, damaged, too large, or in a codec that cannot be decoded here.
        GeometryError: the files do not form one regular stack.
    """
    if not files:
        raise DecodeError("no files were given; give the files of one stack")
    headers = [_checked(Path(file)) for file in files]
    if sum(header.decoded_bytes for header in headers) > MAX_BYTES:
        raise DecodeError(f"{len(headers)} files claim more than 2 GiB of pixels; give the files of one stack")
    headers, step = _in_order(headers)
    first = headers[0]
    array = np.empty((len(headers), first.rows, first.columns), dtype=np.float32)
    for index, header in enumerate(headers):
        array[index] = _decode(header)
    if first.photometric == "MONOCHROME1":
        logger.info("MONOCHROME1 was inverted: high values are bright")
    affine = affine_of(
        np.array([header.position for header in headers]),
        first.orientation or (),
        first.pixel_spacing or (0.0, 0.0),  # type: ignore[arg-type]
        step,
    )
    return Volume(array, affine, tuple(header.path for header in headers))


def _checked(path: Path) -> Header:
    header = read_header(path)
    if header is None:
        raise DecodeError(f"{path.name} is no DICOM image; give the files of one MR stack")
    if header.problem:
        raise DecodeError(f"{path.name} cannot be decoded: {header.problem}; export the series again")
    if header.enhanced or header.frames != 1:
        raise DecodeError(f"{path.name} is a multi-frame file, which is not read yet; convert it to classic MR images")
    if header.samples != 1 or header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise DecodeError(f"{path.name} is not a grey-scale image; give the acquired series")
    return header


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


def _decode(header: Header) -> np.ndarray:
    """Decode one slice to modality values, float32 (rows, columns)."""
    import pydicom

    with quiet():
        try:
            dataset = pydicom.dcmread(header.path, force=True)
            problem = stream_problem(dataset)
            stored = None if problem else dataset.pixel_array
        except Exception as error:  # each codec fails in its own way
            raise DecodeError(
                f"{header.path.name} cannot be decoded ({type(error).__name__}); export the series again, uncompressed"
            ) from error
    if stored is None or stored.shape != (header.rows, header.columns):
        problem = problem or f"{header.rows} x {header.columns} pixels are expected"
        raise DecodeError(f"{header.path.name} cannot be decoded: {problem}; export the series again, uncompressed")
    values = stored.astype(np.float64)
    if header.photometric == "MONOCHROME1":
        values = _stored_extremes(dataset) - values
    return (values * _number(dataset, "RescaleSlope", 1.0) + _number(dataset, "RescaleIntercept", 0.0)).astype(
        np.float32
    )


def _stored_extremes(dataset: Dataset) -> float:
    """Give the sum of the smallest and largest value that can be stored; the inverse of v is that sum minus v."""
    bits = int(dataset.BitsStored)
    return -1.0 if int(dataset.PixelRepresentation) else float(2**bits - 1)


def _number(dataset: Dataset, keyword: str, default: float) -> float:
    found = numbers(dataset, keyword, 1)
    if found is None and text(dataset, keyword):
        raise DecodeError(f"{keyword} is not a number; export the series again")
    return default if found is None else found[0]
