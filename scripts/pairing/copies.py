# SPDX-License-Identifier: Apache-2.0
"""Where PDFS lies on PD within the slice, although half of PD, its fat, lies elsewhere.

Fat precesses more slowly than water and is drawn beside its place along the readout: by 220 Hz at 1.5 T and 440 Hz at
3 T over the bandwidth of a pixel, that is by one to five pixels (chemical shift of the first kind). PDFS shows water
alone. Where muscle borders on fat, PD therefore has two edges: the end of the muscle at its true place, of the sign
that it has on PDFS, and the beginning of the fat, displaced and of the opposite sign. A measure that does not ask for
signs, such as mutual information or the squared cosine of gradients, takes the stronger of the two, and that is fat's.

So PD's gradients are explained by two copies of those of PDFS: one with positive weight A at the place t that is
looked for, one with negative weight B displaced from it by v along one of the two axes. With whitened correlations
p(d) of PD with PDFS at the shift d and q(d) of PDFS with itself, the least squares gain is

    J(t, v) = max over A, B >= 0 of  2 A p(t) - 2 B p(t + v) - (A^2 + B^2) q(0) + 2 A B q(v).

Nothing displaces an edge that lies along the readout: across the readout the place follows from all edges (`across`).
Along it two copies are needed.

No suppression is complete, and the fat that is left on PDFS is displaced by PDFS' own readout, often to the other side:
its trabeculae and septa fit those of PD at a third place. Where that leads astray, what of PDFS is brighter than the
fat left on it, cartilage, fluid, vessels and, if well suppressed, muscle, finds another place than all of it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.pairing.edges import directions, fat_left, flattened, gradients, smooth, water
from scripts.pairing.search import HUMP, _smooth_size
from scripts.pairing.volume import Working

FARTHEST_FAT = 6.0
"""Largest displacement of fat that is looked for [pixels of the working grid]."""
_FINE = 4  # steps per pixel
_SIGMA = 0.8  # of the smoothing before [pixels]


@dataclass(frozen=True)
class Features:
    """What counts as an edge.

    Args:
        power: of the compression of PD, see `edges.flattened`.
        above: of PDFS only what is so many times as bright as the fat left on it; 0 for all of it, compressed as PD.
        sigma: of the smoothing before [pixels].
        white: of the mean power; a frequency with less is taken for noise.
    """

    power: float
    above: float
    sigma: float = _SIGMA
    white: float = 0.2


FITTED = (Features(0.0, 0.0), Features(0.0, 1.2), Features(0.0, 1.5))
"""The first finds the place along the readout; where the others, which see less and are drawn by what fat is left, find
quite another one, the median of all."""
CHECKED = (Features(0.0, 0.0), Features(0.5, 0.0), Features(0.5, 1.5))
"""By these the result is judged, and single slices are placed."""


@dataclass(frozen=True)
class Correlations:
    """Whitened correlations of the edges of PD and PDFS.

    Args:
        slices: number of the PD slice of each surface.
        across: PD with PDFS at each shift, ``(n, 2 reach + 1, 2 reach + 1)``.
        own: PDFS with itself, summed over slices, the same size.
        power: of PD, summed over slices.
        reach: farthest shift [pixels].
    """

    slices: tuple[int, ...]
    across: Tensor
    own: Tensor
    power: float
    reach: int


@dataclass(frozen=True)
class Match:
    """The place of PDFS that two copies explain best.

    Args:
        shift: of the place (right, down) [pixels of the working grid].
        axis: along which fat is displaced: 0 down, 1 right.
        fat: by how much [pixels].
        water_weight: A.
        fat_weight: B.
        gain: J over the power of PD: share of its edges that is explained.
    """

    shift: tuple[float, float]
    axis: int
    fat: float
    water_weight: float
    fat_weight: float
    gain: float


def correlate(
    both: Working, partners: Mapping[int, int], reach: int, features: Features, about: tuple[float, float] = (0.0, 0.0)
) -> Correlations:
    """Correlate the edges of partner slices.

    Args:
        both: both images at the resolution of PD.
        partners: slices of PD and of PDFS.
        reach: farthest shift, of fat too [pixels].
        features: what counts as an edge.
        about: roughly the place (right, down) [pixels], where fat is looked up on PDFS.
    """
    power, sigma = features.power, features.sigma
    ks, ms = list(partners), list(partners.values())
    size = [_smooth_size(side + reach) for side in both.image.shape[1:]]
    image = [torch.fft.rfft2(f, s=size) for f in flattened(both.image[ks], both.image_inside[ks], power, sigma)]
    fields = flattened(both.label[ms], both.label_inside[ms], power, sigma)
    if features.above > 0:
        fat = fat_left(both.image[ks], both.label[ms], both.image_inside[ks], (round(about[0]), round(about[1])))
        bright = water(both.label[ms], features.above * fat)
        fields = gradients(smooth(bright, sigma), both.label_inside[ms])
    label = [torch.fft.rfft2(f, s=size) for f in fields]
    own = sum(f.abs().square().sum(0) for f in label)
    power_of_image = sum(f.abs().square().sum(0) for f in image)
    assert isinstance(own, Tensor) and isinstance(power_of_image, Tensor)
    weight = 1 / (own / own.mean() + features.white)
    across = _cut(sum(p.conj() * q for p, q in zip(image, label, strict=True)) * weight, size, reach)
    alone = _cut((own * weight)[None].to(torch.complex64), size, reach)[0]
    total = _cut((power_of_image * weight)[None].to(torch.complex64), size, 0)[0, 0, 0]
    return Correlations(tuple(ks), across, alone, float(total), reach)


def _cut(spectrum: Tensor | int, size: list[int], reach: int) -> Tensor:
    assert isinstance(spectrum, Tensor)
    surface = torch.fft.irfft2(spectrum, s=size)
    return torch.roll(surface, (reach, reach), (1, 2))[:, : 2 * reach + 1, : 2 * reach + 1]


@dataclass(frozen=True)
class Fat:
    """What is known of the displacement of fat beforehand.

    Args:
        axes: along which it may be: 0 down, 1 right.
        least: smallest displacement [pixels of the working grid], either way.
        most: largest one.
    """

    axes: tuple[int, ...] = (0, 1)
    least: float = 1.0
    most: float = FARTHEST_FAT


def across(both: Working, partners: Mapping[int, int], reach: int, axis: int) -> Tensor:
    """How well all edges that lie along the other axis fit at every shift, the broad hump taken off.

    Args:
        both: both images at the resolution of PD.
        partners: slices of PD and of PDFS.
        reach: farthest shift [pixels].
        axis: in which their place is looked for: 0 down, 1 right.

    Returns:
        Mean over slices of the products of squared normalised gradients, ``(sides, sides)`` at quarter pixels.
    """
    size = [_smooth_size(side + reach) for side in both.image.shape[1:]]
    image = directions(both.image[list(partners)], both.image_inside[list(partners)], _SIGMA)[axis]
    label = directions(both.label[list(partners.values())], both.label_inside[list(partners.values())], _SIGMA)[axis]
    p, q = (torch.fft.rfft2(one.square(), s=size) for one in (image, label))
    surface = _cut((p.conj() * q).mean(0)[None], size, reach)
    return _finer(surface - smooth(surface, HUMP)).squeeze(0)


def match(
    found: Correlations,
    about: tuple[float, float],
    within: float | tuple[float, float],
    fat_is: Fat = Fat(),
) -> Match:
    """The place that two copies explain best, over all slices.

    Args:
        found: correlations; their reach covers ``about``, ``within`` and fat.
        about: where to look (right, down) [pixels].
        within: how far from there [pixels]; or right, and down.
        fat_is: what is known of fat.
    """
    across, own = _finer(found.across.sum(0)[None])[0], _finer(found.own[None])[0]
    middle = found.reach * _FINE
    most = round(min(fat_is.most, FARTHEST_FAT) * _FINE)
    fats = torch.arange(-most, most + 1)
    fats = fats[fats.abs() >= min(round(fat_is.least * _FINE), most)]
    x0, y0 = (round(value * _FINE) + middle for value in about)
    rooms = (within, within) if isinstance(within, float | int) else within
    room_x, room_y = (max(round(value * _FINE), 1) for value in rooms)
    best: Match | None = None
    for axis in fat_is.axes:
        for fat in fats.tolist():
            shift = (fat, 0) if axis == 0 else (0, fat)
            here = _window(across, y0, x0, room_y, room_x)
            there = _window(across, y0 + shift[0], x0 + shift[1], room_y, room_x)
            gain, water, weight = _gain(here, there, own[middle, middle], own[middle + shift[0], middle + shift[1]])
            place = int(gain.argmax())
            height = float(gain.flatten()[place]) / found.power
            if best is None or height > best.gain:
                down, right = divmod(place, 2 * room_x + 1)
                down_off, right_off = _summit(gain, down, right)
                best = Match(
                    shift=(
                        (x0 - room_x + right + right_off - middle) / _FINE,
                        (y0 - room_y + down + down_off - middle) / _FINE,
                    ),
                    axis=axis,
                    fat=fat / _FINE,
                    water_weight=float(water.flatten()[place]),
                    fat_weight=float(weight.flatten()[place]),
                    gain=height,
                )
    assert best is not None
    return best


def surface_of(found: Correlations, slices: Tensor, known: Match) -> Tensor:
    """How well some slices fit at every shift, with the displacement and weights of fat that are known already.

    Args:
        found: correlations.
        slices: numbers within ``found.slices``.
        known: the match of the volume.

    Returns:
        Linear gain ``(sides, sides)`` at quarter pixels, the shift 0 in the middle; ends are 0.
    """
    across = _finer(found.across[slices].sum(0)[None])[0]
    fat = round(known.fat * _FINE)
    displaced = torch.zeros_like(across)
    source, target = (slice(fat, None), slice(None, -fat)) if fat > 0 else (slice(None, fat), slice(-fat, None))
    if known.axis == 0:
        displaced[target] = across[source]
    else:
        displaced[:, target] = across[:, source]
    return known.water_weight * across - known.fat_weight * displaced


def summit(surface: Tensor, reach: int, about: tuple[float, float], within: float) -> tuple[tuple[float, float], float]:
    """The highest place of `surface_of` near a shift: (right, down) [pixels], and its height."""
    middle = reach * _FINE
    x0, y0 = (round(value * _FINE) + middle for value in about)
    room = max(round(within * _FINE), 1)
    area = surface[y0 - room : y0 + room + 1, x0 - room : x0 + room + 1]
    down, right = divmod(int(area.argmax()), area.shape[1])
    down_off, right_off = _summit(area, down, right)
    place = ((x0 - room + right + right_off - middle) / _FINE, (y0 - room + down + down_off - middle) / _FINE)
    return place, float(area.max())


def top(surface: Tensor, reach: int, about: tuple[float, float], within: float) -> float:
    """Greatest height near a shift, to a quarter pixel, of a surface of whole pixels ``(2 reach + 1, 2 reach + 1)``."""
    return summit(_finer(surface[None])[0], reach, about, within)[1]


def height_at(surface: Tensor, reach: int, shift: tuple[float, float]) -> float:
    """Height of `surface_of` at a shift (right, down) [pixels]."""
    middle = reach * _FINE
    return float(surface[round(shift[1] * _FINE) + middle, round(shift[0] * _FINE) + middle])


def _gain(here: Tensor, there: Tensor, own: Tensor, beside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """J and its A and B at every place."""
    determinant = own * own - beside * beside
    water = (own * here - beside * there) / determinant
    fat = (beside * here - own * there) / determinant
    both = (water > 0) & (fat > 0)
    alone = here.clamp(min=0) / own
    gain = torch.where(both, water * here - fat * there, alone * here)
    return gain, torch.where(both, water, alone), torch.where(both, fat, torch.zeros_like(fat))


def _window(surface: Tensor, y: int, x: int, room_y: int, room_x: int) -> Tensor:
    return surface[y - room_y : y + room_y + 1, x - room_x : x + room_x + 1]


def _finer(surfaces: Tensor) -> Tensor:
    size = [(side - 1) * _FINE + 1 for side in surfaces.shape[-2:]]
    return F.interpolate(surfaces[None], size=size, mode="bicubic", align_corners=True)[0]


def _summit(surface: Tensor, down: int, right: int) -> tuple[float, float]:
    """Parabola through the highest place and its neighbours: where between them it lies [steps]."""
    offsets = []
    for line, place in ((surface[:, right], down), (surface[down], right)):
        if not 0 < place < len(line) - 1:
            offsets.append(0.0)
            continue
        before, top, after = (float(line[place + step]) for step in (-1, 0, 1))
        bend = before - 2 * top + after
        offsets.append(max(-0.5, min(0.5, 0.5 * (before - after) / bend)) if bend < 0 else 0.0)
    return offsets[0], offsets[1]
