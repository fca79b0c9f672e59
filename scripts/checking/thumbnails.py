# SPDX-License-Identifier: Apache-2.0
"""A few slices of both images of a pair, small, one over the other as a training step would see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.checking.sources import Grid, Source
from scripts.errors import GeometryError

PIXEL_MM = 1.0
"""About the size of a thumbnail's pixels: half a thousand bytes of a slice in twenty thousand tell a shift of 1 mm."""
COUNT = 4
"""Slices that are looked at: as far from one end as from the other, so that a reversed stack shows the same ones."""
_MOST_PIXELS = 192

Row = Sequence[float]
CONTRASTS = ("PD", "PDFS")


class CannotRead(Exception):
    """Slices of one image of a pair cannot be read.

    Args:
        contrast: of the image.
        why: what was raised.
    """

    def __init__(self, contrast: str, why: Exception) -> None:
        super().__init__(contrast)
        self.contrast, self.why = contrast, why


@dataclass(frozen=True)
class Thumbnails:
    """Slices of a pair.

    Args:
        a: of PD, float32 ``(n, h, w)``, intensities as stored.
        b: of PDFS at the same places, same shape; zero where it shows nothing.
        places: which slices of PD these are.
        pixel_mm: size of a pixel.
        together: whether the two were taken pixel by pixel, without a look at where they lie.
        whole_a: the same slices of PD in full ``(n, H, W)``.
        whole_b: those of PDFS, on its own grid.
    """

    a: Tensor
    b: Tensor
    places: tuple[int, ...]
    pixel_mm: float
    together: bool
    whole_a: Tensor
    whole_b: Tensor


def look(a: Source, b: Source, slices: Sequence[Row] | None = None) -> Thumbnails:
    """Read some slices of both.

    Without ``slices`` images of one matrix are compared slice by slice and pixel by pixel, as training takes them,
    wherever their headers say that they lie; others by their place in the scanner.

    Args:
        a: PD.
        b: PDFS.
        slices: ``[k, m, dx, dy, angle]``: slice m of PDFS belongs to slice k of PD, moved by dx, dy [mm] and turned by
            angle [rad].

    Raises:
        GeometryError: the two have no slice in common.
        CannotRead: a slice cannot be read.
    """
    rows = _rows(a.grid, b.grid, slices)
    chosen = [rows[place] for place in spread(len(rows))]
    whole_a = _slices(a, [int(row[0]) for row in chosen], "PD")
    others = sorted({int(row[1]) for row in chosen})
    found = dict(zip(others, _slices(b, others, "PDFS"), strict=True))
    whole_b = torch.stack([found[int(row[1])] for row in chosen])
    factor = pooling(a.grid)
    small_a, small_b = pooled(whole_a, factor), pooled(whole_b, pooling(b.grid))
    together = slices is None and a.grid.shape == b.grid.shape
    if not together:
        moved = [
            _onto(one, small_a.shape[1:], factor, a.grid, b.grid, row) for one, row in zip(small_b, chosen, strict=True)
        ]
        small_b = torch.stack(moved)
    places = tuple(int(row[0]) for row in chosen)
    return Thumbnails(small_a, small_b, places, factor * a.grid.pixel_mm, together, whole_a, whole_b)


def _slices(source: Source, places: Sequence[int], contrast: str) -> Tensor:
    try:
        return source.read(places)
    except Exception as error:  # each format fails in its own way
        raise CannotRead(contrast, error) from error


def spread(count: int) -> list[int]:
    """Numbers of four of ``count`` slices in the middle three fifths, symmetric about it; all where they are few."""
    if count < 2 * COUNT:
        return list(range(count))
    outer, inner = round(0.2 * (count - 1)), round(0.4 * (count - 1))
    return [outer, inner, count - 1 - inner, count - 1 - outer]


def pooling(grid: Grid) -> int:
    """Pixels along a side that become one."""
    return max(1, round(PIXEL_MM / grid.pixel_mm), -(-max(grid.shape[1:]) // _MOST_PIXELS))


def pooled(slices: Tensor, factor: int) -> Tensor:
    """Means of squares of pixels ``(n, H, W)``; what is left over at the far edges is dropped."""
    return F.avg_pool2d(slices[:, None], min(factor, *slices.shape[1:]))[:, 0]


def distance_mm(a: Grid, b: Grid) -> float:
    """How far the voxels of one matrix lie apart on two grids, at the corner where they do most [mm]."""
    ends = np.array([[0, size - 1] for size in a.shape])
    corners = np.stack([*(one.ravel() for one in np.meshgrid(*ends, indexing="ij")), np.ones(8)])
    return float(np.linalg.norm(((a.affine - b.affine) @ corners)[:3], axis=0).max())


def _rows(a: Grid, b: Grid, slices: Sequence[Row] | None) -> list[Row]:
    if slices is not None:
        rows = sorted(slices, key=lambda row: row[0])
        if not rows or any(not 0 <= row[0] < a.shape[0] or not 0 <= row[1] < b.shape[0] for row in rows):
            raise GeometryError(
                "its slices name some that are not there; need numbers of slices; run kneesynth pair again"
            )
        return rows
    if a.shape == b.shape:
        return [(k, k, 0.0, 0.0, 0.0) for k in range(a.shape[0])]
    to_b = np.linalg.inv(b.affine) @ a.affine
    middle = np.array([0.0, (a.shape[1] - 1) / 2, (a.shape[2] - 1) / 2, 1.0])
    places = [round(float((to_b @ (middle + np.eye(4)[0] * k))[0])) for k in range(a.shape[0])]
    rows = [(k, m, 0.0, 0.0, 0.0) for k, m in enumerate(places) if 0 <= m < b.shape[0]]
    if not rows:
        raise GeometryError("no slice of one lies where a slice of the other does; need pairs of one place; check them")
    return rows


def _onto(small_b: Tensor, shape: Sequence[int], factor: int, a: Grid, b: Grid, row: Row) -> Tensor:
    """A slice of PDFS at the pixels of the thumbnail of its PD slice."""
    k, _, dx, dy, angle = row
    centre = np.array([(size - 1) / 2 for size in a.shape[1:]])
    r, c = np.meshgrid(*((np.arange(size) + 0.5) * factor - 0.5 for size in shape), indexing="ij")
    x, y = (c - centre[1]) * a.spacing_mm[2], (r - centre[0]) * a.spacing_mm[1]
    x, y = x * math.cos(angle) - y * math.sin(angle) + dx, x * math.sin(angle) + y * math.cos(angle) + dy
    index = [np.full_like(x, k), y / a.spacing_mm[1] + centre[0], x / a.spacing_mm[2] + centre[1], np.ones_like(x)]
    found = np.tensordot(np.linalg.inv(b.affine) @ a.affine, np.stack(index), axes=1)
    sides = [size * pooling(b) for size in small_b.shape]
    where = np.stack([(2 * found[2] + 1) / sides[1] - 1, (2 * found[1] + 1) / sides[0] - 1], axis=-1)
    grid = torch.from_numpy(where).float()[None]
    return F.grid_sample(small_b[None, None], grid, align_corners=False, padding_mode="zeros")[0, 0]
