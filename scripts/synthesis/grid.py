# SPDX-License-Identifier: Apache-2.0
"""Whether two volumes lie on the same voxels, and moving one onto the axes of the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from monai.data import MetaTensor

from scripts.errors import GeometryError

# Largest corner distance at which two grids count as one: far above rounding in headers, far below a voxel.
CORNER_TOLERANCE_MM = 1e-2


def affine_ras(volume: MetaTensor) -> np.ndarray:
    """The affine of a volume as float64 numpy array, voxel index to RAS mm."""
    return np.asarray(volume.affine.detach().cpu().numpy(), dtype=np.float64)


def corner_distance(shape: Sequence[int], affine: np.ndarray, other: np.ndarray) -> float:
    """Largest distance in mm between the same corner voxels of one index grid under two affines."""
    ends = [(0, size - 1) for size in shape]
    corners = np.array([(*corner, 1) for corner in itertools.product(*ends)], dtype=np.float64)
    return float(np.linalg.norm((corners @ (affine - other).T)[:, :3], axis=1).max())


def match_grid(voxels: np.ndarray, affine: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Permute and flip axes so that voxels lie on the axes of another affine; nothing is interpolated.

    Args:
        voxels: (i, j, k).
        affine: its affine.
        wanted: the affine to match, in the same space.

    Raises:
        GeometryError: after that a corner still lies more than 0.01 mm off.
    """
    import nibabel

    found, goal = nibabel.io_orientation(affine), nibabel.io_orientation(wanted)
    turn = nibabel.orientations.ornt_transform(found, goal)
    turned = nibabel.orientations.apply_orientation(voxels, turn)
    moved = affine @ nibabel.orientations.inv_ornt_aff(turn, voxels.shape)
    distance = corner_distance(turned.shape, moved, wanted)
    if distance > CORNER_TOLERANCE_MM:
        raise GeometryError(
            f"grids differ by {distance:.3g} mm at a corner; need at most {CORNER_TOLERANCE_MM} mm; "
            "give the series that this volume was made from"
        )
    return turned
