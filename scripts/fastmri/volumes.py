# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are fastMRI knee volumes, and what each of them is.

The schema is that of Zbontar et al. (arXiv:1811.08839) and of the data loader published with it: datasets
``reconstruction_rss`` (all coils) or ``reconstruction_esc`` (emulated single coil) of slices, rows and columns, an
``ismrmrd_header``, and attributes ``acquisition`` and ``patient_id``. K-space is not looked at.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from scripts.errors import DecodeError, UsageError
from scripts.fastmri.header import Geometry, read_geometry

logger = logging.getLogger(__name__)

CONTRASTS = {"CORPD_FBK": "PD", "CORPDFS_FBK": "PDFS"}
"""Contrast by the attribute ``acquisition``; both are coronal."""
RECONSTRUCTIONS = ("reconstruction_rss", "reconstruction_esc")
"""Datasets that hold the image, the better one first."""
_SUFFIXES = (".h5", ".hdf5")
_LARGEST_SIDE, _LARGEST_VOLUME = 4096, 1 << 29
_FEWEST_SLICES = 5


@dataclass(frozen=True)
class Volume:
    """One volume.

    Args:
        path: of its file.
        contrast: PD or PDFS.
        patient: pseudonym that follows from ``patient_id``; the identifier itself is not kept.
        reconstruction: name of the dataset.
        shape: slices, rows and columns.
        geometry: by the header.
    """

    path: Path
    contrast: str
    patient: str
    reconstruction: str
    shape: tuple[int, int, int]
    geometry: Geometry

    @property
    def name(self) -> str:
        """Of the file, without its ending: what published lists call it."""
        return self.path.stem


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Args:
        volumes: in the order of their names.
        refused: files that are not of the schema, each with what was found.
    """

    volumes: tuple[Volume, ...]
    refused: tuple[tuple[Path, str], ...]


def find_volumes(folder: Path, reconstructions: Sequence[str] = RECONSTRUCTIONS) -> Found:
    """Look at every ``.h5`` file below a folder; images are not read.

    Args:
        folder: searched to any depth.
        reconstructions: datasets that are taken, the preferred one first.

    Raises:
        UsageError: no folder, or h5py is not installed.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder.name}: no folder; need one that holds fastMRI .h5 files; check the path")
    h5py = _h5py()
    volumes, refused = [], []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file()):
        try:
            volumes.append(_volume(h5py, path, reconstructions))
        except ValueError as error:
            refused.append((path, str(error)))
            logger.warning("%s: refused: %s", path.name, error)
    return Found(tuple(volumes), tuple(refused))


def read_image(volume: Volume) -> np.ndarray:
    """Read the image of a volume and turn it to the usual view: rows from the head to the feet.

    Returns:
        Magnitudes as they are stored, float32 (slices, rows, columns).

    Raises:
        DecodeError: the file is damaged, changed since it was found, or holds what no magnitude can be.
    """
    h5py = _h5py()
    try:
        with h5py.File(volume.path, "r") as file:
            image = np.asarray(file[volume.reconstruction][()], dtype=np.float32)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DecodeError(
            f"{volume.path.name}: image cannot be read ({type(error).__name__}); need the whole file; download it again"
        ) from error
    if image.shape != volume.shape or not np.isfinite(image).all() or image.min() < 0 or image.max() <= 0:
        raise DecodeError(f"{volume.path.name}: image is no magnitude; need finite values >= 0; download it again")
    return np.ascontiguousarray(image[:, ::-1])


def _volume(h5py: ModuleType, path: Path, reconstructions: Sequence[str]) -> Volume:
    try:
        with h5py.File(path, "r") as file:
            return _described(h5py, file, path, reconstructions)
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"not readable as HDF5 ({type(error).__name__})") from error


def _described(h5py: ModuleType, file: Any, path: Path, reconstructions: Sequence[str]) -> Volume:
    acquisition, patient = (_text(file.attrs.get(name)) for name in ("acquisition", "patient_id"))
    if acquisition not in CONTRASTS:
        # Anybody may have written anything there: it is not repeated.
        raise ValueError(
            f"attribute acquisition is {'another' if acquisition else 'missing'}; need {_either(CONTRASTS)}"
        )
    if not patient:
        raise ValueError("attribute patient_id is missing")
    names = [name for name in reconstructions if isinstance(file.get(name), h5py.Dataset)]
    if not names:
        raise ValueError(f"no dataset {_either(reconstructions)}; test and challenge files have none")
    image = file[names[0]]
    if image.ndim != 3 or image.dtype.kind != "f" or image.shape[0] < _FEWEST_SLICES:
        raise ValueError(f"{names[0]} is {image.dtype} {image.shape}; need real slices, rows and columns")
    if max(image.shape) > _LARGEST_SIDE or np.prod(image.shape, dtype=np.int64) > _LARGEST_VOLUME:
        raise ValueError(f"{names[0]} of {image.shape} is no knee")
    if not isinstance(file.get("ismrmrd_header"), h5py.Dataset):
        raise ValueError("no dataset ismrmrd_header")
    stored = file["ismrmrd_header"][()]
    geometry = read_geometry(stored if isinstance(stored, (bytes, str)) else str(stored))
    if any(size > whole for size, whole in zip(image.shape[1:], geometry.recon.matrix, strict=False)):
        raise ValueError(
            f"{names[0]} has {image.shape[1]} x {image.shape[2]} pixels, the header's reconSpace "
            f"{geometry.recon.matrix[0]} x {geometry.recon.matrix[1]}; the size of a pixel is not known"
        )
    key = "fastmri-" + hashlib.sha256(patient.encode()).hexdigest()[:12]
    slices, rows, columns = (int(size) for size in image.shape)
    return Volume(path, CONTRASTS[acquisition], key, names[0], (slices, rows, columns), geometry)


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) if value is not None else ""


def _either(names: Any) -> str:
    return " or ".join(names)


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise UsageError(
            "h5py is not installed; need it to read .h5 files; pip install h5py, or install the extra fastmri"
        ) from error
    module: ModuleType = h5py
    return module
