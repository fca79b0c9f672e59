# SPDX-License-Identifier: Apache-2.0
"""Which slices show the same anatomy, and whether it is the same anatomy at all: by the directions of edges.

At every displacement along the normal and within the slice the squared cosines between the gradients of both images are
summed. For one knee each slice, for itself, has its highest sum where all slices together have it. For two knees each
slice finds another place; that is what tells them, not the height of any sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scripts.pairing.edges import directions, smooth
from scripts.pairing.settings import Settings
from scripts.pairing.volume import Scan, Working, slice_partners

HUMP = 5.0  # pixels: a true peak is narrower
_NEAR_PIXELS, _NEAR_SLICES = 2.5, 1.2  # mm, slices: a slice agrees with the others within


@dataclass(frozen=True)
class Likeness:
    """Where two stacks fit best, and how surely.

    Args:
        offset_mm: displacement of PDFS along PD's normal.
        shift_mm: within the slice (right, down): where PD's anatomy lies on PDFS.
        agreement: share of slices whose own best place is the common one.
        lift: height of the common place in each slice [standard deviations of its surroundings], lower quartile.
        sharpness: height of the common peak over the next best displacement along the normal that is no neighbour.
        slices: how many were compared.
    """

    offset_mm: float
    shift_mm: tuple[float, float]
    agreement: float
    lift: float
    sharpness: float
    slices: int


def spectra(images: Tensor, inside: Tensor, size: Sequence[int]) -> list[Tensor]:
    """Fourier transforms of the three products of the edges' directions, each ``(N, h, w/2+1)``."""
    down, right = directions(images, inside)
    return [torch.fft.rfft2(part, s=list(size)) for part in (down * down, right * right, down * right)]


def offsets_of(image: Scan, label: Scan, settings: Settings, far: bool) -> dict[float, dict[int, int]]:
    """Displacements along the normal to be tried [mm], each with its partners; equal partners are tried once."""
    step = 0.5 * min(image.between_mm, label.between_mm)
    farthest = settings.search_slices * max(image.between_mm, label.between_mm)
    if far:
        spans = [one.between_mm * (one.slices - 1) for one in (image, label)]
        farthest = max(farthest, 0.35 * max(spans))
    tried: dict[float, dict[int, int]] = {}
    for number in sorted(range(-int(farthest / step), int(farthest / step) + 1), key=abs):
        partners = slice_partners(image, label, number * step, settings.kept_distance)
        if len(partners) >= settings.least_slices and partners not in tried.values():
            tried[number * step] = partners
    return dict(sorted(tried.items()))


def compare(
    image: Sequence[Tensor],
    label: Sequence[Tensor],
    size: Sequence[int],
    offsets: Mapping[float, Mapping[int, int]],
    reach: int,
    pixel_mm: float,
    between_mm: float,
) -> Likeness:
    """Find the common place of two stacks.

    Args:
        image: `spectra` of PD.
        label: `spectra` of PDFS, of the same size.
        size: of the transforms.
        offsets: see `offsets_of`.
        reach: farthest shift [pixels].
        pixel_mm: of the working grid.
        between_mm: distance of slices, for neighbours.
    """
    places = list(offsets)
    surfaces: dict[tuple[int, int], Tensor] = {}
    for partners in offsets.values():
        missing = [pair for pair in partners.items() if pair not in surfaces]
        if missing:
            surfaces.update(zip(missing, _surfaces(image, label, missing, size, reach), strict=True))
    common = torch.stack([torch.stack([surfaces[pair] for pair in offsets[place].items()]).mean(0) for place in places])
    best = int(common.flatten(1).max(1).values.argmax())
    side = 2 * reach + 1
    y, x = divmod(int(common[best].argmax()), side)
    near = [i for i, place in enumerate(places) if abs(place - places[best]) <= 2.1 * between_mm]
    pixels = max(2, round(_NEAR_PIXELS / pixel_mm))
    hits, lifts = [], []
    for k, m in offsets[places[best]].items():
        own = [(i, surfaces[k, offsets[places[i]][k]]) for i in near if k in offsets[places[i]]]
        stacked = torch.stack([surface for _, surface in own])
        which, rest = divmod(int(stacked.argmax()), side * side)
        there_y, there_x = divmod(rest, side)
        along = abs(places[own[which][0]] - places[best]) <= _NEAR_SLICES * between_mm
        hits.append(along and max(abs(there_y - y), abs(there_x - x)) <= pixels)
        around = surfaces[k, m][max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        lifts.append(float(around.max() / stacked.std().clamp(min=1e-9)))
    heights = common.flatten(1).max(1).values
    others = [float(heights[i]) for i, p in enumerate(places) if abs(p - places[best]) > 1.6 * between_mm]
    return Likeness(
        offset_mm=places[best],
        shift_mm=((x - reach) * pixel_mm, (y - reach) * pixel_mm),
        agreement=float(np.mean(hits)),
        lift=float(np.quantile(lifts, 0.25)),
        sharpness=float(heights[best]) / max(max(others, default=0.0), 1e-9) if others else 0.0,
        slices=len(hits),
    )


def find(image: Scan, label: Scan, both: Working, settings: Settings, far: bool) -> Likeness | None:
    """`compare` for the two stacks of one candidate pair; None where too few slices could ever be partners."""
    offsets = offsets_of(image, label, settings, far)
    if not offsets:
        return None
    reach = reach_of(both, settings, far)
    size = size_of(both, reach)
    return compare(
        spectra(both.image, both.image_inside, size),
        spectra(both.label, both.label_inside, size),
        size,
        offsets,
        reach,
        both.pixel_mm,
        max(image.between_mm, label.between_mm),
    )


def reach_of(both: Working, settings: Settings, far: bool) -> int:
    """Farthest shift that is looked for [pixels of the working grid]."""
    wanted = round((settings.far_reach if far else settings.search_reach) / both.pixel_mm)
    return max(4, min(wanted, min(both.image.shape[1:]) // 3))


def size_of(both: Working, reach: int) -> list[int]:
    """Sides of the Fourier transforms: no wrap-around within the reach."""
    return [_smooth_size(side + reach) for side in both.image.shape[1:]]


def _smooth_size(least: int) -> int:
    """The next number without prime factors above 5."""
    while True:
        rest = least
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return least
        least += 1


def common_surface(
    image: Sequence[Tensor], label: Sequence[Tensor], pairs: Sequence[tuple[int, int]], size: Sequence[int], reach: int
) -> Tensor:
    """How well the directions of edges fit at every shift, mean over slices, ``(2 reach + 1, 2 reach + 1)``."""
    return _surfaces(image, label, pairs, size, reach).mean(0)


def _surfaces(
    image: Sequence[Tensor], label: Sequence[Tensor], pairs: Sequence[tuple[int, int]], size: Sequence[int], reach: int
) -> Tensor:
    """Sum of squared cosines at every shift, the broad hump taken off, ``(pairs, 2 reach + 1, 2 reach + 1)``."""
    ks, ms = [k for k, _ in pairs], [m for _, m in pairs]
    total = sum(weight * p[ks].conj() * q[ms] for weight, p, q in zip((1, 1, 2), image, label, strict=True))
    surface = torch.fft.irfft2(total, s=list(size))
    surface = torch.roll(surface, (reach, reach), (1, 2))[:, : 2 * reach + 1, : 2 * reach + 1]
    return surface - smooth(surface, HUMP)
