# SPDX-License-Identifier: Apache-2.0
"""What is measured on the thumbnails of a pair: shift, shared information, flips, and how the fat looks."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.body import BODY_THRESHOLD, body_scale, bright_end
from scripts.checking.sources import Grid
from scripts.checking.thumbnails import Thumbnails
from scripts.diagnosis.pairing import mutual_information, overlap
from scripts.quality.fat import PIXEL_MM, polarity
from scripts.quality.noise import blocks_of

_FAINT = 7.0
"""A peak below this may be one of strangers: theirs are 3 to 6, those of pairs 10 to 20 in simulated knees."""
_FLIP_GAIN = 1.5
FLIPS = {(0,): "slice order reversed", (1,): "upside down", (2,): "left and right swapped"}
_POOLED = 2 / 3 * PIXEL_MM
_NEGATIVE = -0.02  # of the bright end: interpolation leaves slightly negative voxels beside edges


@dataclass(frozen=True)
class Looks:
    """One image of a pair.

    Args:
        low: smallest value, as stored.
        bright: its bright end in the body, as stored: what training calls 1.0.
        negative: share of the voxels that are clearly negative.
        polarity: below zero for dark structures on bright fat, see `scripts.quality.fat`; None where it cannot be told.
    """

    low: float
    bright: float
    negative: float
    polarity: float | None


@dataclass(frozen=True)
class Fit:
    """How two images fit.

    Args:
        shift_mm: distance of the best fit of their edges from none, median over the slices.
        peak: how far that fit stands out from the hump around it.
        information: mutual information [nat].
        flip: the turn of PDFS with which their edges fit much better; empty where there is none.
    """

    shift_mm: float
    peak: float
    information: float
    flip: tuple[int, ...] = ()

    @property
    def flip_name(self) -> str:
        """The turn in words."""
        return " and ".join(FLIPS[axis,] for axis in self.flip)


def looks_of(slices: Tensor, grid: Grid) -> Looks | None:
    """Measure some slices of one image ``(n, H, W)``; None where they hold no signal or values that are not finite."""
    if not bool(torch.isfinite(slices).all()) or float(slices.max()) <= 0:
        return None
    try:
        scale = body_scale(slices)
    except ValueError:
        return None
    negative = float((slices < _NEGATIVE * bright_end(slices.abs())).float().mean())
    told = None
    if min(slices.shape[1:]) >= 64:
        # Pixels that are not pooled there cost as many times more; two slices of them hold enough structure.
        whole = (slices if grid.pixel_mm < _POOLED else slices[::2]) / scale
        told = polarity(whole, grid.pixel_mm, grid.plane, blocks_of(whole).air_ends)
    return Looks(float(slices.min()), scale, negative, told)


def order_of_contrasts(looks: tuple[Looks, Looks], a: Tensor, b: Tensor) -> float | None:
    """How clearly the first is PD and the second PDFS: above zero if so, below if the other way round.

    The two images are of one knee, so that what differs is the contrast: the sign of fine structure, and, at a tenth
    of the weight, the logarithm of the mean brightness of the body, most of which is fat. Of 30 simulated studies, half
    of them with odd tissue values and failed suppression, it was below -.05 in two, which were random shapes and no
    knees, and between that and zero in one knee; either part alone has the wrong sign in more. None where the polarity
    cannot be told.

    Args:
        looks: of PD and PDFS.
        a: thumbnails of PD ``(n, h, w)``, 1.0 the bright end.
        b: those of PDFS over them.
    """
    polarities = [one.polarity for one in looks]
    if polarities[0] is None or polarities[1] is None:
        return None
    body = (a > BODY_THRESHOLD) | (b > BODY_THRESHOLD)
    levels = [max(float(image[body].mean()), 1e-3) for image in (a, b)]
    return polarities[1] - polarities[0] + 0.1 * math.log(levels[0] / levels[1])


def fit_of(seen: Thumbnails) -> Fit:
    """Measure how the two images of a pair fit as they are, and whether they would better with PDFS turned over."""
    shift, peak = best_overlap(seen.a, seen.b)
    shared = {turn: mutual_information(seen.a[:, ::2, ::2], seen.b[:, ::2, ::2].flip(turn)) for turn in _turns(seen.a)}
    best = max(shared, key=lambda turn: shared[turn])
    flip: tuple[int, ...] = ()
    if best or peak < _FAINT:
        # Shared information sees where tissue and air are, which a turned knee may share by chance; edges do not.
        tried = [best] if best and peak >= _FAINT else sorted(shared, key=lambda turn: -shared[turn])[:4]
        peaks = {turn: best_overlap(seen.a, seen.b.flip(turn))[1] for turn in tried if turn}
        sharpest = max(peaks, key=lambda turn: peaks[turn])
        if peaks[sharpest] > _FLIP_GAIN * peak:
            flip = sharpest
    return Fit(shift * seen.pixel_mm, peak, mutual_information(seen.a, seen.b), flip)


def best_overlap(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Shift [pixels] and peak of `overlap`, medians over the slices ``(n, h, w)`` in which b shows anything."""
    found = [overlap(one[None, None], other[None, None]) for one, other in zip(a, b, strict=True) if bool(other.any())]
    if not found:
        return 0.0, 0.0
    shifts, peaks = zip(*found, strict=True)
    return statistics.median(shifts), statistics.median(peaks)


def _turns(stack: Tensor) -> list[tuple[int, ...]]:
    axes = (0, 1, 2) if len(stack) > 1 else (1, 2)
    return [turn for number in range(len(axes) + 1) for turn in itertools.combinations(axes, number)]


def unrelated(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Peak and information of PD of one patient with PDFS of another, brought to its size."""
    count = min(len(a), len(b))
    a, b = a[:count], b[:count]
    if a.shape != b.shape:
        b = torch.nn.functional.interpolate(b[:, None], size=a.shape[1:], mode="area")[:, 0]
    middle = count // 2
    return overlap(a[middle][None, None], b[middle][None, None])[1], mutual_information(a, b)
