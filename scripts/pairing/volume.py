# SPDX-License-Identifier: Apache-2.0
"""A candidate in memory, and both images of a pair on one working grid, by their positions alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from scripts.body import body_scale
from scripts.errors import DecodeError
from scripts.transforms.align import Grid, grid_of, resample
from scripts.transforms.orientation import DisplayOrientation
from scripts.transforms.series import LoadKneeSeries


@dataclass(frozen=True)
class Scan:
    """One image in display orientation, on the fixed scale.

    Args:
        volume: ``(1, D, H, W)``.
    """

    volume: MetaTensor

    @cached_property
    def grid(self) -> Grid:
        """Where its slices lie."""
        affine = self.volume.affine.detach().cpu().numpy()
        return grid_of(affine, self.volume.shape[1:])

    @cached_property
    def between_mm(self) -> float:
        """Distance of its slices along the normal."""
        places = self.grid.places
        affine = self.volume.affine.detach().cpu().numpy()
        return (
            float(abs(places[-1] - places[0]) / (len(places) - 1))
            if len(places) > 1
            else float(np.linalg.norm(affine[:3, 0]))
        )

    @property
    def slices(self) -> int:
        """Their number."""
        return int(self.volume.shape[1])

    def moved(self, by: np.ndarray) -> Scan:
        """The same image at another place, ``by`` mm of the world."""
        affine = self.volume.affine.clone()
        affine[:3, 3] += torch.as_tensor(by, dtype=affine.dtype)
        return Scan(MetaTensor(self.volume.as_tensor(), affine=affine, meta={"spatial_shape": self.volume.shape[1:]}))


def load_scan(source: str | Sequence[str]) -> Scan:
    """Read a candidate: a path, or the files of one DICOM stack.

    Raises:
        DecodeError, GeometryError, SourceError: it cannot be read.
    """
    volume = DisplayOrientation()(LoadKneeSeries()(source if isinstance(source, str) else list(source)))
    try:
        scale = body_scale(volume.as_tensor())
    except ValueError as error:
        raise DecodeError(str(error).rstrip(".")) from error
    plain = MetaTensor(
        volume.as_tensor().float() / scale, affine=volume.affine, meta={"spatial_shape": volume.shape[1:]}
    )
    return Scan(plain)


@dataclass(frozen=True)
class Working:
    """Both images within one plane grid: PD's field of view in pixels of one size.

    Args:
        image: PD ``(D, h, w)``.
        label: PDFS ``(D', h, w)``, each slice at its own place along the normal.
        image_inside: where PD has data, bool ``(D, h, w)``.
        label_inside: where PDFS has data, bool ``(D', h, w)``.
        pixel_mm: of the working grid, both axes.
    """

    image: Tensor
    label: Tensor
    image_inside: Tensor
    label_inside: Tensor
    pixel_mm: float


def working(image: Scan, label: Scan, pixel_mm: float, turn: float = 0.0, same: Working | None = None) -> Working:
    """Bring both images of a pair onto square pixels over PD's field of view, by positions alone.

    Args:
        image: PD.
        label: PDFS.
        pixel_mm: of the result.
        turn: PD's places are turned by it about the middle before PDFS is sampled there [rad].
        same: the result for another turn, whose PD is taken over.
    """
    target = _target(image, pixel_mm)
    there = label.grid.middle @ image.grid.normal
    nearest = np.abs(there[:, None] - image.grid.places[None]).argmin(axis=1)
    across = [(int(k), m, 0.0, 0.0, turn) for m, k in enumerate(nearest)]
    of_label, label_inside = resample(target, label.volume, across)
    of_label, label_inside = (of_label * label_inside)[0], label_inside[0]
    if same is not None:
        return Working(same.image, of_label, same.image_inside, label_inside, pixel_mm)
    of_image, image_inside = resample(target, image.volume, [(k, k, 0.0, 0.0, 0.0) for k in range(image.slices)])
    return Working((of_image * image_inside)[0], of_label, image_inside[0], label_inside, pixel_mm)


def _target(image: Scan, pixel_mm: float) -> MetaTensor:
    affine = image.volume.affine.detach().cpu().numpy().astype(np.float64)
    slices, *size = image.volume.shape[1:]
    own = np.linalg.norm(affine[:3, :3], axis=0)
    sides = [max(int(np.ceil(size[axis] * own[axis + 1] / pixel_mm)), 16) for axis in (0, 1)]
    target = affine.copy()
    target[:3, 1] *= pixel_mm / own[1]
    target[:3, 2] *= pixel_mm / own[2]
    target[:3, 3] += affine[:3, 1] * (size[0] - 1) / 2 + affine[:3, 2] * (size[1] - 1) / 2
    target[:3, 3] -= target[:3, 1] * (sides[0] - 1) / 2 + target[:3, 2] * (sides[1] - 1) / 2
    return MetaTensor(torch.empty(1, 1, 1, 1).expand(1, slices, *sides), affine=torch.from_numpy(target))


def slice_partners(image: Scan, label: Scan, offset_mm: float, tolerance: float) -> dict[int, int]:
    """Which slice of PDFS lies where each slice of PD does, once PDFS is taken to be displaced along the normal.

    Args:
        image: PD.
        label: PDFS.
        offset_mm: anatomy at a place of PD lies so much farther along PD's normal on PDFS.
        tolerance: farthest distance [of the larger slice distance].

    Returns:
        From slice of PD to slice of PDFS; slices without a partner are left out.
    """
    there = label.grid.middle @ image.grid.normal
    limit = tolerance * max(image.between_mm, label.between_mm)
    partners = {}
    for k, place in enumerate(image.grid.places):
        distance = np.abs(there - (place + offset_mm)) + 1e-6 * there  # of two equally near ones always the lower
        m = int(distance.argmin())
        if abs(there[m] - (place + offset_mm)) <= limit:
            partners[k] = m
    return partners
