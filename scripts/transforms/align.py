# SPDX-License-Identifier: Apache-2.0
"""Bring the two images of a pair onto one grid: the slices of PD, with PDFS sampled where the same anatomy lies."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from scripts.errors import GeometryError, UsageError

_CLEAN = "_clean"
_SMOOTHED_FROM = 1.2  # times finer than the grid it is brought to: from here on detail would fold back


@dataclass(frozen=True)
class Grid:
    """Where the slices of a volume in display orientation lie, in mm of its world.

    Args:
        middle: of each slice, ``(D, 3)``.
        right: unit vector along increasing columns.
        down: unit vector along increasing rows.
        pixel_mm: distance between columns and between rows.
        size: rows and columns.
    """

    middle: np.ndarray
    right: np.ndarray
    down: np.ndarray
    pixel_mm: tuple[float, float]
    size: tuple[int, int]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector along increasing slices, right-angled to them."""
        normal = np.cross(self.down, self.right)
        normal = normal / np.linalg.norm(normal)
        way = self.middle[-1] - self.middle[0]
        return -normal if way @ normal < 0 else normal

    @property
    def places(self) -> np.ndarray:
        """Position of each slice along the normal [mm], ``(D,)``."""
        return self.middle @ self.normal


def grid_of(affine: np.ndarray, shape: Sequence[int]) -> Grid:
    """The slices of a volume.

    Args:
        affine: 4x4, (slice, row, column, 1) to mm.
        shape: slices, rows, columns.
    """
    affine = np.asarray(affine, dtype=np.float64)
    slices, rows, columns = (int(n) for n in shape)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    first = affine[:3, 3] + affine[:3, 1] * (rows - 1) / 2 + affine[:3, 2] * (columns - 1) / 2
    return Grid(
        middle=first + np.arange(slices)[:, None] * affine[:3, 0],
        right=affine[:3, 2] / lengths[2],
        down=affine[:3, 1] / lengths[1],
        pixel_mm=(float(lengths[2]), float(lengths[1])),
        size=(rows, columns),
    )


def in_plane_map(image: Grid, k: int, label: Grid, m: int) -> tuple[np.ndarray, np.ndarray]:
    """From mm about the middle of slice ``k`` of one grid to mm about the middle of slice ``m`` of another.

    A point of the first slice is projected on the second one along that one's normal.

    Returns:
        Matrix (2, 2) and offset (2,), both for (x to the right, y down).
    """
    axes = np.stack((label.right, label.down))
    matrix = axes @ np.stack((image.right, image.down), axis=1)
    return matrix, axes @ (image.middle[k] - label.middle[m])


class AlignPair(Transform):
    """Crop PD to the slices that have a partner and sample PDFS where the same anatomy lies.

    Where one of the two was not scanned, both become 0. Nothing is known there that a network could learn, and a
    border of the field of view in one of two images would be an edge to draw.

    Args:
        registered: apply the measured shift and turn; otherwise positions of the headers alone.
    """

    def __init__(self, registered: bool = True) -> None:
        self.registered = registered

    def __call__(  # type: ignore[override]  # a pair goes in, as in MONAI's own transforms of several images
        self, image: torch.Tensor, label: torch.Tensor, slices: Sequence[Sequence[float]] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Align one pair.

        Args:
            image: PD ``(1, D, H, W)`` in display orientation with affine.
            label: PDFS ``(1, D', H', W')`` in display orientation with affine.
            slices: rows ``[k, m, dx_mm, dy_mm, angle_rad]``: slice ``k`` of PD has slice ``m`` of PDFS as partner. A
                pixel of PD at (x, y) mm from the middle of its slice, x to the right and y down, is turned by the angle
                (x to y), moved by (dx, dy), and that place of PD's plane, projected on slice ``m``, is where PDFS is
                sampled. None for a pair that lies on one grid already.

        Returns:
            Both ``(1, n, H, W)`` with the affine of PD's first kept slice. Slices that were left out in between are a
            gap that an affine cannot tell.

        Raises:
            GeometryError: slices that are not there, or two grids and no slices.
        """
        if slices is None:
            if tuple(image.shape) != tuple(label.shape):
                raise GeometryError(
                    f"pair of two grids, {_size(image)} and {_size(label)}; need slices that say what lies where; "
                    "run `kneesynth pair` on the data"
                )
            return image, label
        rows = _checked(slices, image, label)
        sampled, seen = resample(image, label, rows if self.registered else [(*row[:2], 0.0, 0.0, 0.0) for row in rows])
        kept = [int(row[0]) for row in rows]
        cropped = torch.as_tensor(image)[:, kept] * seen
        affine = _affine(image).copy()
        affine[:3, 3] += affine[:3, 0] * kept[0]
        return _with(cropped, affine, image), _with(sampled * seen, affine, label)


class AlignPaird(MapTransform):
    """Dictionary form of :class:`AlignPair`.

    Args:
        keys: PD and PDFS. Further keys that end in ``_clean`` follow the image that they are named after.
        slices_key: where the rows stand; taken out of the dictionary, since they hold for the former grids only.
        registered: see :class:`AlignPair`.
        allow_missing_keys: pass on what has no such keys.
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        slices_key: str = "slices",
        registered: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.slices_key = slices_key
        self.align = AlignPair(registered)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Align the pair, and clean twins with it."""
        d = dict(data)
        image, label = (str(key) for key in self.keys if not str(key).endswith(_CLEAN))
        if image not in d or label not in d:
            if self.allow_missing_keys:
                return d
            raise KeyError(f"no {image} and {label} to align; need both; load the pair first")
        slices = d.pop(self.slices_key, None)
        clean = [(f"{image}{_CLEAN}", image), (f"{label}{_CLEAN}", label)]
        twins = [(twin, of) for twin, of in clean if isinstance(d.get(twin), torch.Tensor)]
        if slices is None and not twins:
            d[image], d[label] = self.align(d[image], d[label], None)
            return d
        former = {image: d[image], label: d[label]}
        d[image], d[label] = self.align(former[image], former[label], slices)
        for twin, of in twins:  # each on the grid of its partner before
            pair = (d[twin], former[label]) if of == image else (former[image], d[twin])
            d[twin] = self.align(*pair, slices)[0 if of == image else 1]
        return d


def resample(
    image: torch.Tensor, label: torch.Tensor, rows: Sequence[Sequence[float]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample slices of ``label`` on slices of ``image``, by cubic interpolation.

    Args:
        image: ``(1, D, H, W)``; only its grid counts.
        label: ``(1, D', H', W')``.
        rows: see :class:`AlignPair`.

    Returns:
        Samples ``(1, n, H, W)``, not below the smallest value of the label or zero, and whether each lies within the
        label's field of view, the same shape, bool.
    """
    of_image, of_label = grid_of(_affine(image), image.shape[1:]), grid_of(_affine(label), label.shape[1:])
    wanted = [int(row[1]) for row in rows]
    plain = _plain(label)[0, wanted].float()
    plain = _smoothed(plain, of_image.pixel_mm, of_label.pixel_mm)
    grids = torch.stack([_sampling_grid(of_image, of_label, row) for row in rows])
    samples = F.grid_sample(plain[:, None], grids, mode="bicubic", padding_mode="border", align_corners=True)[:, 0]
    half = torch.tensor([1 + 1 / max(size - 1, 1) for size in of_label.size[::-1]])  # to the outer edge of a pixel
    seen = (grids.abs() <= half + 1e-4).all(dim=-1)
    floor = min(float(plain.min()), 0.0)
    return samples.clamp(min=floor)[None], seen[None]


def _sampling_grid(image: Grid, label: Grid, row: Sequence[float]) -> torch.Tensor:
    """Where a slice of the label is sampled, in ``grid_sample``'s -1..1, ``(H, W, 2)``."""
    k, m, dx, dy, angle = int(row[0]), int(row[1]), *(float(value) for value in row[2:5])
    matrix, offset = in_plane_map(image, k, label, m)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix, offset = matrix @ turn, matrix @ np.array([dx, dy]) + offset
    (rows, columns), (step_x, step_y) = image.size, image.pixel_mm
    x = (torch.arange(columns, dtype=torch.float64) - (columns - 1) / 2) * step_x
    y = (torch.arange(rows, dtype=torch.float64) - (rows - 1) / 2) * step_y
    there_x = matrix[0, 0] * x + matrix[0, 1] * y[:, None] + offset[0]
    there_y = matrix[1, 0] * x + matrix[1, 1] * y[:, None] + offset[1]
    (rows, columns), (step_x, step_y) = label.size, label.pixel_mm
    half_x, half_y = max(columns - 1, 1) / 2 * step_x, max(rows - 1, 1) / 2 * step_y
    return torch.stack((there_x / half_x, there_y / half_y), dim=-1).float()


def _smoothed(slices: torch.Tensor, wanted_mm: tuple[float, float], pixel_mm: tuple[float, float]) -> torch.Tensor:
    """Take away detail that the coarser grid cannot hold; ``(n, H, W)``."""
    for axis, (wanted, own) in enumerate(zip(wanted_mm, pixel_mm, strict=True)):
        ratio = wanted / own
        if ratio < _SMOOTHED_FROM:
            continue
        sigma = 0.5 * math.sqrt(ratio**2 - 1)
        reach = math.ceil(3 * sigma)
        kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
        kernel = kernel / kernel.sum()
        shape = (1, 1, 1, -1) if axis == 0 else (1, 1, -1, 1)
        pad = [reach, reach, 0, 0] if axis == 0 else [0, 0, reach, reach]
        slices = F.conv2d(F.pad(slices[:, None], pad, mode="replicate"), kernel.view(shape))[:, 0]
    return slices


def _checked(slices: Sequence[Sequence[float]], image: torch.Tensor, label: torch.Tensor) -> list[list[float]]:
    rows = [[float(value) for value in row] for row in slices]
    if not rows:
        raise UsageError("pair without slices; need one at least; pair the data again")
    for row in rows:
        if len(row) != 5 or not all(math.isfinite(value) for value in row):
            raise UsageError(f"slices: a row {row}; need [k, m, dx_mm, dy_mm, angle_rad]; pair the data again")
        if not (0 <= row[0] < image.shape[1] and 0 <= row[1] < label.shape[1]):
            raise GeometryError(
                f"slice {int(row[0])} with {int(row[1])} of stacks of {image.shape[1]} and {label.shape[1]}; need "
                "slices that are there; the files changed, pair the data again"
            )
    return rows


def _affine(volume: torch.Tensor) -> np.ndarray:
    if not isinstance(volume, MetaTensor):
        raise GeometryError("volume without an affine; need one to know where slices lie; load it with its header")
    affine: np.ndarray = volume.affine.detach().cpu().numpy().astype(np.float64)
    return affine


def _plain(volume: torch.Tensor) -> torch.Tensor:
    return volume.as_tensor() if isinstance(volume, MetaTensor) else volume


def _with(voxels: torch.Tensor, affine: np.ndarray, of: torch.Tensor) -> MetaTensor:
    assert isinstance(of, MetaTensor)
    meta = dict(of.meta)
    meta.pop("affine", None)
    out = MetaTensor(_plain(voxels), affine=torch.from_numpy(affine.copy()), meta=meta)
    out.applied_operations = list(of.applied_operations)
    return out


def _size(volume: torch.Tensor) -> str:
    return "x".join(str(side) for side in volume.shape[1:])
