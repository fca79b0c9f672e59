# SPDX-License-Identifier: Apache-2.0
"""A small volume made by formulas alone, the same on every machine: something with the layout of a knee.

It is no simulated knee and is not meant to be looked at. It has what the network answers to differently in each
direction: bright and dark regions with sharp edges, shading, and texture at several scales. No random numbers, no file.
"""

from __future__ import annotations

import numpy as np

from scripts.dicom.study import SimulatedSeries

SHAPE = (10, 96, 80)
"""Slices, rows, columns. All differ, so that no two axes can be exchanged unnoticed."""

SPACING_MM = (3.5, 0.9, 0.8)
TILT = 0.15
"""Radians about two axes, so that no direction cosine is trivial."""

# Radius (1 is the edge of the leg), and brightness in PD and PDFS: fat, muscle, fluid, cartilage, cortex, marrow.
_SHELLS = (
    (1.00, 1.00, 0.15),
    (0.86, 0.45, 0.55),
    (0.55, 0.80, 1.00),
    (0.50, 0.65, 0.70),
    (0.44, 0.10, 0.08),
    (0.40, 0.90, 0.20),
)
_AIR = 0.015


def phantom_series(contrast: str) -> SimulatedSeries:
    """One contrast of the phantom, as a series that `write_simulated_study` takes.

    Args:
        contrast: ``"PD"`` or ``"PDFS"``.
    """
    return SimulatedSeries(
        array=phantom(contrast),
        affine_lps=affine_lps(),
        contrast=contrast,
        description=f"SELFTEST {contrast}",
        repetition_time=3.0,
        echo_time=0.03,
        echo_train_length=8,
        field_strength=3.0,
        fat_suppressed=contrast == "PDFS",
    )


def phantom(contrast: str) -> np.ndarray:
    """Magnitudes of the phantom, float32 `SHAPE`, between 0 and about 1.3."""
    column = {"PD": 1, "PDFS": 2}[contrast]
    slices, rows, columns = _grid()
    image = np.full(SHAPE, _AIR)
    for number, shell in enumerate(_SHELLS):
        image = np.where(radius(number) < shell[0] * (1 - 0.2 * slices**2), shell[column], image)
    texture = 1 + 0.06 * np.sin(23 * rows + 5 * slices) * np.cos(19 * columns) + 0.05 * np.sin(61 * rows - 47 * columns)
    shading = np.exp(0.35 * columns - 0.2 * rows)
    return np.asarray(image * texture * shading, dtype=np.float32)


def radius(number: int) -> np.ndarray:
    """Distance of each voxel from the centre of a shell; each is off by another step, so that there is no symmetry."""
    _, rows, columns = _grid()
    return np.asarray(np.hypot((rows - 0.05 * number) / 0.92, (columns + 0.04 * number) / 0.85))


def _grid() -> list[np.ndarray]:
    return list(np.meshgrid(*(np.linspace(-1, 1, count) for count in SHAPE), indexing="ij"))


def affine_lps() -> np.ndarray:
    """(slice, row, column) to LPS mm: a tilted sagittal stack."""
    c, s = np.cos(TILT), np.sin(TILT)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[-1, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=float).T * SPACING_MM
    affine[:3, 3] = (15.5, -40.25, 45.75)
    return affine
