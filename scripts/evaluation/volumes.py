# SPDX-License-Identifier: Apache-2.0
"""Load a volume as it is looked at, and say whether two volumes lie on the same voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from scripts.errors import DecodeError, GeometryError, KneeSynthError
from scripts.synthesis.grid import affine_ras, corner_distance
from scripts.transforms.nifti import is_nifti, read_nifti
from scripts.transforms.orientation import DisplayOrientation
from scripts.transforms.series import LoadKneeSeries

Loadable = str | list[str]

TOLERANCE_MM = 0.1
"""Largest corner distance at which two grids count as one: above the rounding of other programs' headers."""


@dataclass(frozen=True)
class Volume:
    """One volume in display orientation.

    Args:
        voxels: ``(1, slices, rows, columns)`` float32.
        affine: 4x4, index of (slice, row, column) to RAS mm.
        slices_reversed: the file counts its slices the other way round.
    """

    voxels: Tensor
    affine: np.ndarray
    slices_reversed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Slices, rows, columns."""
        return tuple(self.voxels.shape[1:])

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Between slices, rows and columns [mm]."""
        between, down, right = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return between, down, right


def load_volume(loadable: Loadable, what: str, blank: bool = False) -> Volume:
    """Load a DICOM stack, a NIfTI file or a volume of the simulated cohort.

    Args:
        loadable: a path, or the files of one stack.
        what: how a refusal calls it: what it is and of which case; file names may be persons'.
        blank: a volume of zeros is taken too (a mask).

    Raises:
        KneeSynthError: it cannot be read; the class is that of the reader's refusal.
    """
    try:
        loaded = _blank(Path(loadable)) if blank and isinstance(loadable, str) else LoadKneeSeries()(loadable)
        turned = DisplayOrientation()(loaded)
    except KneeSynthError as error:
        raise type(error)(f"{what}: {error}") from error
    back = np.asarray(turned.applied_operations[-1]["extra_info"]["back"])
    reverse = bool(back[0, 1] < 0)  # of the axis that slices are shown along
    voxels = turned.as_tensor().float()
    if not bool(torch.isfinite(voxels).all()):
        raise DecodeError(f"{what}: holds values that are not finite; need numbers; write it again")
    return Volume(voxels, affine_ras(turned), reverse)


def _blank(path: Path) -> MetaTensor:
    if not is_nifti(path):
        return LoadKneeSeries()(path)
    voxels, affine = read_nifti(path)
    return MetaTensor(torch.from_numpy(voxels)[None], affine=torch.from_numpy(affine), meta={"source_kind": "nifti"})


def misfit(one: Volume, other: Volume) -> str:
    """What tells two grids apart, in words; empty where they are one."""
    if one.shape != other.shape:
        return f"{_size(one.shape)} against {_size(other.shape)} voxels"
    steps = [f"{a:.3g} against {b:.3g} mm" for a, b in zip(one.spacing, other.spacing, strict=True)]
    if not np.allclose(one.spacing, other.spacing, rtol=1e-3):
        return f"voxels of {', '.join(steps)}"
    distance = corner_distance(one.shape, one.affine, other.affine)
    return f"a corner lies {distance:.3g} mm off" if distance > TOLERANCE_MM else ""


def resampled(volume: Volume, like: Volume) -> Volume:
    """A volume on another one's grid, interpolated linearly by world position; zero outside."""
    import torch.nn.functional as F

    if np.linalg.matrix_rank(volume.affine) < 4:
        raise GeometryError("a grid without a volume; need voxels with three sides; write it again")
    to_index = torch.from_numpy(np.linalg.inv(volume.affine) @ like.affine)
    axes = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in like.shape), indexing="ij")
    place = torch.stack([*axes, torch.ones_like(axes[0])], dim=-1) @ to_index.T
    size = torch.tensor(volume.shape, dtype=torch.float64)
    unit = (2 * place[..., :3] + 1) / size - 1
    sampled = F.grid_sample(volume.voxels[None], unit.flip(-1).float()[None], padding_mode="zeros", align_corners=False)
    return Volume(sampled[0], like.affine, like.slices_reversed)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
