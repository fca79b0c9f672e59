# SPDX-License-Identifier: Apache-2.0
"""Small knees that are none: a limb of fat, muscle, a bone of marrow and a layer of fluid, as PD and as PDFS."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

SHAPE = (6, 64, 56)
AFFINE = np.array([[0, 0, 3.3, -9], [-0.5, 0, 0, 8], [0, -0.5, 0, 8], [0, 0, 0, 1]], dtype=float)
"""Sagittal, axes (columns, rows, slices), RAS [mm]; slices are counted the other way round than they are shown."""
PD = {"air": 0.0, "fat": 800.0, "muscle": 300.0, "marrow": 700.0, "fluid": 550.0}
PDFS = {"air": 0.0, "fat": 90.0, "muscle": 260.0, "marrow": 80.0, "fluid": 700.0}


def tissues(shape: tuple[int, int, int] = SHAPE) -> dict[str, np.ndarray]:
    """Masks by name, ``(D, H, W)``."""
    _, rows, columns = shape
    row, column = np.mgrid[:rows, :columns]
    far = np.hypot((row - rows / 2) / (rows / 2), (column - columns / 2) / (columns / 2))
    bone = np.hypot(row - rows * 0.4, column - columns / 2)
    flat = {
        "marrow": bone < 9,
        "fluid": (bone >= 9) & (bone < 12),
        "muscle": (far < 0.62) & (bone >= 12),
        "fat": (far >= 0.62) & (far < 0.9),
    }
    return {name: np.broadcast_to(mask, shape) for name, mask in flat.items()}


def scan(values: dict[str, float], seed: int, noise: float = 6.0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """One scan, magnitudes ``(D, H, W)``; the texture is the patient's, the noise the scan's."""
    texture = 1 + 0.1 * np.random.default_rng(seed).standard_normal(shape)
    signal = sum(values[name] * mask for name, mask in tissues(shape).items()) * texture
    rng = np.random.default_rng(int(1000 * values["fat"]) + seed)
    return np.abs(signal + noise * rng.standard_normal(shape)).astype(np.float32)


def save(path: Path, volume: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write ``(D, H, W)`` as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(volume.transpose(2, 1, 0)), affine), path)
    return path
