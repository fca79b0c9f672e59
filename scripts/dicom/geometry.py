# SPDX-License-Identifier: Apache-2.0
"""Where slices lie: order, spacing and soundness of a stack from positions and orientation alone.

All coordinates are DICOM patient coordinates (LPS) in mm. Nothing here reads a file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of direction cosines within a stack: scanners round them to 3-6 digits."""

JITTER_FLOOR_MM = 0.1
JITTER_FRACTION = 0.03
"""A slice may lie off its place by the larger of 0.1 mm and 3 % of the spacing."""

SHEAR_TOLERANCE = 1e-2
"""Largest cosine between the line through the slice corners and the slice plane."""

OBLIQUE_BELOW = 0.75
"""A normal with no component above this (41 degrees off every axis) has no anatomical plane."""


@dataclass(frozen=True)
class StackGeometry:
    """What the positions of a stack say.

    Attributes:
        order: indices of the slices, ascending along the normal.
        spacing: distance between neighbouring slices in mm; 0 for a single slice.
        problem: why the stack contradicts itself, or "".
    """

    order: tuple[int, ...]
    spacing: float
    problem: str


def normal_of(orientation: tuple[float, ...]) -> np.ndarray:
    """Give the unit slice normal (3,): row cosines x column cosines, as in PS3.3 C.7.6.2.1.1."""
    normal = np.cross(orientation[:3], orientation[3:])
    return normal / max(float(np.linalg.norm(normal)), 1e-12)


def plane_of(orientation: tuple[float, ...]) -> str:
    """Name the anatomical plane: "sagittal", "coronal", "axial", or "oblique" beyond 41 degrees off all three."""
    components = np.abs(normal_of(orientation))
    axis = int(components.argmax())
    return ("sagittal", "coronal", "axial")[axis] if components[axis] >= OBLIQUE_BELOW else "oblique"


def check_orientation(orientation: tuple[float, ...]) -> str:
    """Say what is wrong with six direction cosines, or give ""."""
    row, column = np.asarray(orientation[:3]), np.asarray(orientation[3:])
    skew = max(abs(float(row @ row) - 1.0), abs(float(column @ column) - 1.0), abs(float(row @ column)))
    # A rounding of 1e-3 per cosine moves a squared length by up to about 3e-3.
    return "" if skew <= 5 * ORIENTATION_TOLERANCE else "direction cosines are not two perpendicular unit vectors"


def examine(positions: np.ndarray, orientation: tuple[float, ...]) -> StackGeometry:
    """Sort slices by place and check that they form one regular, unsheared stack.

    Args:
        positions: (n, 3) centre of each slice's first voxel, LPS in mm.
        orientation: the six direction cosines that all slices share.

    Returns:
        Order, spacing, and the first contradiction found. Slices are counted from 1 in spatial order.
    """
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    normal = normal_of(orientation)
    places = positions @ normal
    order = tuple(int(i) for i in np.argsort(places, kind="stable"))
    problem = check_orientation(orientation)
    if len(order) == 1 or problem:
        return StackGeometry(order, 0.0, problem)
    positions, places = positions[list(order)], places[list(order)]
    steps = np.diff(places)
    typical = float(np.median(steps))
    if typical <= 0.01:
        return StackGeometry(order, 0.0, f"duplicate place: most of {len(order)} slices lie on one another")
    return StackGeometry(order, _mean_step(places), _irregularity(positions, places, normal, typical))


def _mean_step(places: np.ndarray) -> float:
    return float(places[-1] - places[0]) / (len(places) - 1)


def _irregularity(positions: np.ndarray, places: np.ndarray, normal: np.ndarray, typical: float) -> str:
    steps = np.diff(places)
    count = len(places)
    for index, step in enumerate(steps, start=1):
        if step < 0.1 * typical:
            return f"duplicate place: slices {index} and {index + 1} of {count} both lie at {places[index]:.2f} mm"
        if step > 1.5 * typical:
            return (
                f"gap of {step:.2f} mm between slices {index} and {index + 1} of {count} "
                f"(at {places[index - 1]:.2f} mm) where {typical:.2f} mm is usual"
            )
    span = positions[-1] - positions[0]
    in_plane = span - (span @ normal) * normal
    if np.linalg.norm(in_plane) > SHEAR_TOLERANCE * np.linalg.norm(span):
        return f"shear: the stack leans {np.linalg.norm(in_plane):.2f} mm within the slice plane over its length"
    line = positions[0] + np.linspace(0.0, 1.0, count)[:, None] * span
    misses = np.linalg.norm(positions - line, axis=1)
    allowed = max(JITTER_FLOOR_MM, JITTER_FRACTION * _mean_step(places))
    if misses.max() > allowed:
        worst = int(misses.argmax())
        return (
            f"slice {worst + 1} of {count} lies {misses[worst]:.2f} mm off its place "
            f"(at {places[worst]:.2f} mm); {allowed:.2f} mm is accepted"
        )
    return ""


def affine_of(
    positions: np.ndarray, orientation: tuple[float, ...], pixel_spacing: tuple[float, float], slice_step: float
) -> np.ndarray:
    """Build the map from (slice, row, column, 1) to LPS mm.

    The slice direction comes from the first and the last position rather than from the normal, so that both end slices
    land exactly where their headers say.

    Args:
        positions: (n, 3) in slice order.
        orientation: six direction cosines: along a row, then along a column (PS3.3 C.7.6.2.1.1).
        pixel_spacing: (distance between rows, distance between columns) in mm, as in PixelSpacing.
        slice_step: thickness in mm, used for a single slice only.

    Returns:
        (4, 4) float64.
    """
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    affine = np.eye(4)
    count = len(positions)
    step = (positions[-1] - positions[0]) / (count - 1) if count > 1 else normal_of(orientation) * slice_step
    affine[:3, 0] = step
    affine[:3, 1] = np.asarray(orientation[3:]) * pixel_spacing[0]
    affine[:3, 2] = np.asarray(orientation[:3]) * pixel_spacing[1]
    affine[:3, 3] = positions[0]
    return affine
