# SPDX-License-Identifier: Apache-2.0
"""A derived MR series beside its source, marked synthetic throughout: classic of classic, Enhanced of Enhanced.

Attributes are copied from a whitelist, never by cloning the source: a clone would carry private data, SAR that would be
counted twice, and a ScanOptions that makes a computed image pass for an acquired one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.dicom import identity
from scripts.dicom.classic import derive_image
from scripts.dicom.contrast import PD, PDFS
from scripts.dicom.enhanced import derive_frames
from scripts.dicom.files import split_address
from scripts.dicom.frames import Frame
from scripts.dicom.geometry import normal_of
from scripts.dicom.inherited import damage_refused, read_source
from scripts.dicom.instance import MAX_STORED, save_series
from scripts.dicom.marking import OEDEMA_SENTENCE, STORED_PER_UNIT, Provenance
from scripts.dicom.values import integer, numbers, quiet, text
from scripts.errors import GateError, GeometryError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["OEDEMA_SENTENCE", "STORED_PER_UNIT", "Provenance", "derive_series", "save_series"]


def derive_series(files: Sequence[Path], stored: np.ndarray, contrast: str, provenance: Provenance) -> list[Dataset]:
    """Make the derived instances of one stack, in memory.

    UIDs hash the source UIDs, the weights, the options and the output pixels: the same UID always means the same
    pixels, and a repeated run gives the same series.

    Args:
        files: classic MR images or addresses of Enhanced frames in slice order, as ``Volume.files`` holds them.
        stored: uint16 (slices, rows, columns), 0..4095, 1000 = the target contrast's 99.5th percentile in the body.
        contrast: "PD" or "PDFS", the contrast that was synthesised.
        provenance: what made the pixels.

    Returns:
        One dataset per classic slice, or one Enhanced dataset with all slices, ready for `save_series`.

    Raises:
        ValueError: ``stored`` is not of the type and range above, or ``contrast`` is neither PD nor PDFS.
        DecodeError: a source file cannot be parsed.
        GateError: a source file is not an MR image.
        GeometryError: the files are not of one stack in slice order, or do not have the shape of ``stored``.
    """
    _check_arguments(stored, contrast)
    with quiet(), damage_refused(Path(files[0])):
        sources = _read(files)
        enhanced = _check_sources(sources, stored)
        uids = [f"{text(source.dataset, 'SOPInstanceUID')}#{source.number}" for source in sources]
        pixels = np.ascontiguousarray(stored, dtype="<u2")
        shape = str(pixels.shape)
        series_uid = identity.uid_from("derived series", *provenance.identity, contrast, *uids, shape, pixels.tobytes())
        # A second, untouched reading: elements that were looked at above no longer hold the bytes of the file.
        sources = _read(files)
        if enhanced:
            return [derive_frames(sources, pixels, series_uid, contrast, provenance)]
        return [
            derive_image(source.dataset, pixels[index], index, series_uid, contrast, provenance)
            for index, source in enumerate(sources)
        ]


def _check_arguments(stored: np.ndarray, contrast: str) -> None:
    if contrast not in (PD, PDFS):
        raise ValueError(f"contrast is {contrast!r}; need {PD!r} or {PDFS!r}")
    if stored.dtype != np.uint16 or stored.ndim != 3:
        raise ValueError(f"stored is {stored.dtype} with {stored.ndim} axes; need uint16 (slices, rows, columns)")
    if stored.size and stored.max() > MAX_STORED:
        raise ValueError(f"stored reaches {stored.max()}; need at most {MAX_STORED}")


def _read(files: Sequence[Path]) -> list[Frame]:
    """One view per slice; a file of many frames is parsed once."""
    addresses = [split_address(Path(file)) for file in files]
    datasets = {path: read_source(path) for path in dict.fromkeys(path for path, _ in addresses)}
    return [Frame(datasets[path], frame) for path, frame in addresses]


def _check_sources(sources: Sequence[Frame], stored: np.ndarray) -> bool:
    """Refuse what is not one stack; say whether it is an Enhanced one."""
    classes = {text(source.dataset, "SOPClassUID") for source in sources}
    enhanced = classes <= identity.ENHANCED_MR_STORAGES
    if not enhanced and classes != {identity.MR_IMAGE_STORAGE}:
        raise GateError(
            "a source file is neither a classic nor an Enhanced MR image; derived series are written for those; "
            "ask for NIfTI alone with --format nifti, or convert the source",
            liftable=False,
        )
    shapes = {(integer(source.dataset, "Rows"), integer(source.dataset, "Columns")) for source in sources}
    if len(sources) != len(stored) or shapes != {stored.shape[1:]}:
        raise GeometryError(
            f"{len(sources)} source slices do not match {len(stored)} synthesised ones of {stored.shape[1:]}; "
            "give the files that were read"
        )
    if len({text(source.dataset, "SeriesInstanceUID") for source in sources}) > 1:
        raise GeometryError("the source files belong to several series; give the files of one stack")
    positions = [_numbers(source, "ImagePositionPatient", "PlanePositionSequence", 3) for source in sources]
    orientation = _numbers(sources[0], "ImageOrientationPatient", "PlaneOrientationSequence", 6)
    if orientation is None or any(position is None for position in positions):
        raise GeometryError("source slices have no position or orientation; a derived series needs both")
    places = np.array(positions, dtype=float) @ normal_of(orientation)
    if (np.diff(places) <= 0).any():
        raise GeometryError("the source files are not in slice order; give them as they were read")
    return enhanced


def _numbers(source: Frame, keyword: str, group: str, count: int) -> tuple[float, ...] | None:
    return numbers(source.holder(keyword, group), keyword, count)
