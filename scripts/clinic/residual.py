# SPDX-License-Identifier: Apache-2.0
"""How far a manifest's map from PD to PDFS is from the true one, slice by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scripts.clinic.truth import TrueSeries
from scripts.transforms.orientation import AXIS_LABELS, DISPLAY_AXCODES, display_plane

WRONG_SLICE = 0.75
"""Distance from the true place along the normal [slices] from which a partner slice is the wrong one. Between two
slices either may be taken, which is half a slice away."""
_STEP = 4
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Match = Sequence[float]
"""Slice of PD, slice of PDFS, shift along columns and rows [mm] and turn [rad]: an entry of a manifest's ``slices``."""


@dataclass(frozen=True)
class SliceResidual:
    """One kept slice.

    Args:
        slice: of PD, in display orientation.
        pixels: mean distance over the body between where PDFS is taken from and where the same piece of the knee lies,
            in pixels of PD: within the slice; in three dimensions where the partner is the wrong slice.
        slices: mean distance along the normal [slices of PDFS], signed.
    """

    slice: int
    pixels: float
    slices: float

    @property
    def wrong_slice(self) -> bool:
        """Whether the partner is not one of the nearest two slices."""
        return abs(self.slices) > WRONG_SLICE


@dataclass(frozen=True)
class Displayed:
    """The grid of a series in display orientation.

    Args:
        shape: slices, rows and columns.
        affine: of (slice, row, column, 1) to LPS [mm], ``(4, 4)``.
        stored: from index (slice, row, column, 1) as displayed to that as stored, ``(4, 4)``.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    stored: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """Between slices, rows and columns [mm]."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


def displayed(series: TrueSeries) -> Displayed:
    """The grid of a series as `DisplayOrientation` turns it, by its header."""
    import nibabel
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

    affine = np.asarray(series.affine_lps, dtype=float)
    ras = _LPS_TO_RAS @ affine
    wanted = axcodes2ornt(DISPLAY_AXCODES[display_plane(ras, 0)], labels=AXIS_LABELS)
    turn = ornt_transform(io_orientation(ras), wanted)
    stored = inv_ornt_aff(turn, series.shape)
    shape = nibabel.orientations.apply_orientation(np.empty(series.shape, dtype=bool), turn).shape
    return Displayed((shape[0], shape[1], shape[2]), affine @ stored, stored)


def residuals(
    image: TrueSeries, label: TrueSeries, label_to_image: np.ndarray, body: np.ndarray, matches: Sequence[Match] | None
) -> list[SliceResidual]:
    """Compare a manifest's map with the true one.

    Args:
        image: PD.
        label: PDFS.
        label_to_image: see `truth.TruePair`.
        body: on PD, bool ``(D, H, W)``, slices in the order in which they are stored.
        matches: entries of ``slices``; None where both are said to be on one grid.

    Returns:
        One per kept slice that shows any of the body.

    Raises:
        ValueError: an entry that names a slice that is not there, or is no entry.
    """
    one, two = displayed(image), displayed(label)
    if matches is None:
        if one.shape != two.shape:
            raise ValueError(f"no slices are named for grids of {one.shape} and {two.shape}")
        matches = [(number, number, 0.0, 0.0, 0.0) for number in range(one.shape[0])]
    true = np.linalg.inv(two.affine) @ np.linalg.inv(np.asarray(label_to_image)) @ one.affine
    found = []
    for entry in matches:
        if len(entry) != 5 or not (0 <= entry[0] < one.shape[0] and 0 <= entry[1] < two.shape[0]):
            raise ValueError(f"{list(entry)} names no slices of {one.shape[0]} and {two.shape[0]}")
        number, partner = int(entry[0]), int(entry[1])
        places = _in_body(number, one, body)
        if places.shape[1] == 0:
            continue
        away = taken_from(places, one, two, entry) - (true @ places)[:3]
        away[0] += partner - taken_from(places, one, two, entry)[0]
        away_mm = away * two.spacing[:, None]
        along = float(away[0].mean())
        used = away_mm if abs(along) > WRONG_SLICE else away_mm[1:]
        pixel = float(np.sqrt(one.spacing[1] * one.spacing[2]))
        found.append(SliceResidual(number, float(np.linalg.norm(used, axis=0).mean() / pixel), along))
    return found


def taken_from(places: np.ndarray, image: Displayed, label: Displayed, entry: Match) -> np.ndarray:
    """Where a manifest's entry takes PDFS from, before it is projected onto the partner slice.

    A position on the slice of PD, relative to its middle, in mm along columns (x, to the right) and rows (y, down), is
    turned by the angle from x to y, moved, and taken back to the world.

    Args:
        places: index (slice, row, column, 1) on PD, ``(4, N)``, all on one slice.
        image: grid of PD.
        label: grid of PDFS.
        entry: of the manifest.

    Returns:
        Index (slice, row, column) on PDFS, ``(3, N)``.
    """
    _, _, shift_x, shift_y, angle = entry
    rows, columns = image.spacing[1:]
    middle = (np.array(image.shape[1:]) - 1) / 2
    x, y = (places[2] - middle[1]) * columns, (places[1] - middle[0]) * rows
    turned_x = np.cos(angle) * x - np.sin(angle) * y + shift_x
    turned_y = np.sin(angle) * x + np.cos(angle) * y + shift_y
    moved = np.stack((places[0], turned_y / rows + middle[0], turned_x / columns + middle[1], np.ones_like(x)))
    taken: np.ndarray = (np.linalg.inv(label.affine) @ image.affine @ moved)[:3]
    return taken


def _in_body(number: int, grid: Displayed, body: np.ndarray) -> np.ndarray:
    """Every few pixels of a slice that lie in the body: index (slice, row, column, 1) as displayed, ``(4, N)``."""
    rows, columns = (np.arange(_STEP // 2, size, _STEP, dtype=float) for size in grid.shape[1:])
    row, column = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    places = np.stack((np.full_like(row, number), row, column, np.ones_like(row)))
    stored = np.rint(grid.stored @ places)[:3].astype(int)
    return places[:, body[tuple(stored)]]
