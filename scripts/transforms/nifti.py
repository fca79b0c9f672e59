# SPDX-License-Identifier: Apache-2.0
"""Read one NIfTI volume, or say why it is not one."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from scripts.errors import DecodeError, GeometryError

SUFFIXES = (".nii", ".nii.gz")

# A header of a few hundred bytes can claim any size, and gzip expands a thousandfold: refused before anything is read.
MAX_SIDE = 4096
MAX_BYTES = 2 * 1024**3

# Cosine between two voxel axes above which the grid is sheared: 1e-3 rad is far above float32 rounding of the affine.
_SHEAR_TOLERANCE = 1e-3


def is_nifti(path: Path) -> bool:
    """Whether the file name says NIfTI."""
    return path.name.lower().endswith(SUFFIXES)


def read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a three-dimensional NIfTI volume with its scaling applied.

    Args:
        path: ``.nii`` or ``.nii.gz``. A fourth axis of length one is dropped.

    Returns:
        Voxels float32 (i, j, k) and the affine float64 4x4, voxel index to RAS mm.

    Raises:
        DecodeError: not NIfTI, truncated, not three-dimensional, not real numbers, too large, or not finite.
        GeometryError: no orientation (sform and qform both unset), or an affine that is singular or sheared.
    """
    image, shape, affine = open_nifti(path)
    try:
        voxels = np.asanyarray(image.dataobj).astype(np.float32, copy=False).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DecodeError(f"{path.name}: voxels cut short or damaged; need the whole file; copy it again") from error
    if not np.isfinite(voxels).all():
        raise DecodeError(
            f"{path.name}: NaN or infinite voxels; need finite intensities; replace them before synthesis"
        )
    return voxels, affine


def open_nifti(path: Path) -> tuple[Any, tuple[int, int, int], np.ndarray]:
    """Read the header of a three-dimensional volume, and no voxel.

    Returns:
        The image of nibabel, its shape without a fourth axis of length one, and the affine as of `read_nifti`.

    Raises:
        DecodeError, GeometryError: as `read_nifti`, for what a header tells.
    """
    import nibabel

    try:
        image = nibabel.load(path)
    except FileNotFoundError as error:
        raise DecodeError(f"{path.name}: no such file; need a NIfTI volume; check the path") from error
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise DecodeError(f"{path.name}: not readable as NIfTI; need .nii or .nii.gz; export it again") from error
    if not isinstance(image, nibabel.Nifti1Pair):
        raise DecodeError(f"{path.name}: {type(image).__name__}; need NIfTI-1 or NIfTI-2; convert it")
    shape = image.shape[:3] if len(image.shape) == 4 and image.shape[3] == 1 else image.shape
    _check_size(path.name, shape, image.get_data_dtype())
    return image, (shape[0], shape[1], shape[2]), _affine(path.name, image)


def _check_size(name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if len(shape) != 3:
        raise DecodeError(
            f"{name}: {len(shape)}-dimensional {shape}; need one three-dimensional volume; split it first"
        )
    if dtype.kind not in "iuf":
        raise DecodeError(f"{name}: voxels of type {dtype}; need real magnitudes; convert to integer or float first")
    if min(shape) < 1 or max(shape) > MAX_SIDE or 4 * math.prod(shape) > MAX_BYTES:
        raise DecodeError(f"{name}: {shape} voxels; need 1 to {MAX_SIDE} a side and 2 GiB in all; crop it first")


def _affine(name: str, image: object) -> np.ndarray:
    header = image.header  # type: ignore[attr-defined]
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        raise GeometryError(f"{name}: no sform and no qform; need to know which way is up; convert it again from DICOM")
    affine = np.asarray(image.affine, dtype=np.float64)  # type: ignore[attr-defined]
    axes = affine[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    if not np.isfinite(affine).all() or spacing.min() < 1e-6:
        raise GeometryError(f"{name}: affine with a zero or infinite axis; need voxel sizes in mm; export it again")
    cosines = (axes / spacing).T @ (axes / spacing)
    if np.abs(cosines - np.eye(3)).max() > _SHEAR_TOLERANCE:
        raise GeometryError(f"{name}: sheared voxel axes; need right angles; resample it to a regular grid first")
    return affine
