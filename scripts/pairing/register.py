# SPDX-License-Identifier: Apache-2.0
"""Where PDFS lies on PD within the slice: one rigid map for the volume, and for a slice only where the data ask for it.

SimpleITK's mutual information is drawn towards displaced fat by up to its displacement (see `copies`), so that its turn
is only one of those that are tried, and how far its place is off is told. The turn follows from the directions of all
edges, the place from `copies`. No prediction of any network takes part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scripts.pairing import copies
from scripts.pairing.copies import CHECKED, FARTHEST_FAT, FITTED, Correlations, Fat
from scripts.pairing.readout import Readout, fat_of
from scripts.pairing.search import common_surface, size_of, spectra
from scripts.pairing.settings import Settings
from scripts.pairing.volume import Scan, Working, working

_MI_PIXEL_MM = 1.4
_WITHIN_MM = 4.5  # of the coarse place, which displaced fat may have drawn away
_FINEST_MM = 0.45  # pixels of PD are not worked on in finer steps
_TURN_STEP = math.radians(1.0)
_TURN_GAIN = 1.01  # a turn has to fit so much better than none
_AGREE_MM = 0.8  # places along the readout farther apart contradict each other
_STAY_PX = 0.6  # a smaller shift is that of the measurement: the header's place counts
_BLOCK = 2  # slices on each side that are measured with a slice
_LEAVE_PX, _LEAVE_GAIN = 0.9, 1.15  # a slice leaves the volume's place for a place so far and so much better


@dataclass(frozen=True)
class Rigid:
    """A rigid map within the slice: from PD's place to where the anatomy lies on PDFS.

    Args:
        shift_mm: right and down.
        angle: from right to down [rad], about the middle of the slice of PD.
    """

    shift_mm: tuple[float, float]
    angle: float

    @property
    def on_turned_grid(self) -> tuple[float, float]:
        """The shift (right, down) [mm] that is left once PDFS was sampled at the turned places."""
        x, y = self.shift_mm
        c, s = math.cos(self.angle), math.sin(self.angle)
        return c * x + s * y, -s * x + c * y


def _rigid(shift_px: tuple[float, float], pixel_mm: float, angle: float) -> Rigid:
    """The map whose shift was measured on a grid that was turned already."""
    x, y = shift_px[0] * pixel_mm, shift_px[1] * pixel_mm
    c, s = math.cos(angle), math.sin(angle)
    return Rigid((c * x - s * y, s * x + c * y), angle)


@dataclass(frozen=True)
class Registration:
    """The result for one pair.

    Args:
        volume: of all slices.
        slices: of each slice of PD, where the data ask for another one than the volume's; else the same.
        residual_px: distance of each slice's map from what other features find about it [pixels of PD].
        gain: share of PD's edges that PDFS explains.
        fat_px: displacement of fat on PD that was found with it [pixels of PD].
        mutual_px: how far SimpleITK's mutual information would have placed it from there [pixels of PD].
        spread_px: how far the fits by different features lie apart [pixels of PD].
    """

    volume: Rigid
    slices: dict[int, Rigid]
    residual_px: dict[int, float]
    gain: float
    fat_px: float
    mutual_px: float
    spread_px: float


def register(
    image: Scan,
    label: Scan,
    partners: Mapping[int, int],
    about_mm: tuple[float, float],
    settings: Settings,
    known: bool,
    readout: Readout | None = None,
) -> Registration:
    """Register a pair whose slices are matched.

    Args:
        image: PD.
        label: PDFS.
        partners: slices of PD and of PDFS.
        about_mm: shift (right, down) to start from, by the directions of edges.
        settings: bounds.
        known: the headers' place means something: both lie in one frame of reference.
        readout: of PD, where its header tells it.
    """
    coarse = working(image, label, settings.search_mm)
    turn, mutual = mutual_information(coarse, partners, about_mm)
    angle = _turned(image, label, coarse, partners, about_mm, turn, settings)
    pixel = max(min(image.grid.pixel_mm), _FINEST_MM)
    fine = working(image, label, pixel, angle)
    start = Rigid(about_mm, angle).on_turned_grid
    about = (start[0] / pixel, start[1] / pixel)
    reach = math.ceil(max(abs(about[0]), abs(about[1])) + _WITHIN_MM / pixel + FARTHEST_FAT + 2)
    fat = fat_of(readout, image.grid, pixel)
    found = [copies.correlate(fine, partners, reach, features, about) for features in FITTED]
    place = max((_placed(fine, partners, found, about, reach, fat, axis) for axis in fat.axes), key=lambda p: p.gain)
    shift = place.shift
    if known and angle == 0 and math.hypot(*shift) * pixel < _STAY_PX * max(image.grid.pixel_mm):
        shift = (0.0, 0.0)
    volume = _rigid(shift, pixel, angle)
    # Where all edges and those of water contradict each other, the slices are judged by what the place follows from.
    judges = FITTED if place.spread * pixel > _AGREE_MM else CHECKED
    checked = [copies.correlate(fine, partners, reach, features, about) for features in judges]
    slices, residual = _by_slice(checked, volume, pixel, settings, Fat((place.axis,), fat.least, fat.most))
    own = max(image.grid.pixel_mm)
    apart = math.hypot(mutual[0] - volume.shift_mm[0], mutual[1] - volume.shift_mm[1])
    return Registration(
        volume=volume,
        slices=slices,
        residual_px={k: value * pixel / own for k, value in residual.items()},
        gain=place.gain,
        fat_px=place.fat * pixel / own,
        mutual_px=apart / own,
        spread_px=place.spread * pixel / own,
    )


def mutual_information(
    both: Working, partners: Mapping[int, int], about_mm: tuple[float, float]
) -> tuple[float, tuple[float, float]]:
    """SimpleITK: Mattes' mutual information over all partner slices, moved and turned together within the slice.

    Args:
        both: working images.
        partners: slices of PD and of PDFS.
        about_mm: where to start.

    Returns:
        Turn [rad] and shift (right, down) [mm].
    """
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    step = max(1, round(_MI_PIXEL_MM / both.pixel_mm))
    fixed = _itk(both.image[list(partners)], both.pixel_mm)
    moving = _itk(both.label[list(partners.values())], both.pixel_mm)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.02, 40)
    method.SetOptimizerScales([1, 1, 3000, 1, 1, 1])
    method.SetOptimizerWeights([0, 0, 1, 1, 1, 0])  # within the slice alone
    method.SetShrinkFactorsPerLevel([2 * step, step])
    method.SetSmoothingSigmasPerLevel([1.5, 0.7])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    start = sitk.Euler3DTransform()
    start.SetTranslation((about_mm[0], about_mm[1], 0.0))
    method.SetInitialTransform(start, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # nothing in common at the start: the edges decide alone
        return 0.0, about_mm
    x, y, _ = start.GetTranslation()
    return float(start.GetAngleZ()), (float(x), float(y))


def _itk(slices: Tensor, pixel_mm: float):  # type: ignore[no-untyped-def]
    """A stack as SimpleITK's image: its slices far apart, so that nothing is taken across them."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(slices.numpy())
    image.SetSpacing((pixel_mm, pixel_mm, 1.0))
    image.SetOrigin((-(slices.shape[2] - 1) / 2 * pixel_mm, -(slices.shape[1] - 1) / 2 * pixel_mm, 0.0))
    return image


@dataclass(frozen=True)
class _Place:
    """Where PDFS lies, with one axis taken for the readout; lengths in pixels of the working grid."""

    shift: tuple[float, float]
    axis: int
    fat: float
    gain: float
    spread: float


def _placed(
    fine: Working,
    partners: Mapping[int, int],
    found: list[Correlations],
    about: tuple[float, float],
    reach: int,
    fat: Fat,
    axis: int,
) -> _Place:
    """Across the readout by all edges, then along it by two copies.

    Args:
        fine: both images at the resolution of PD.
        partners: slices of PD and of PDFS.
        found: correlations by `FITTED`.
        about: where to look (right, down) [pixels].
        reach: of the correlations.
        fat: what is known of its displacement.
        axis: of the readout: 0 down, 1 right.
    """
    within = _WITHIN_MM / fine.pixel_mm
    edges = copies.across(fine, partners, reach, 1 - axis)
    (x, y), _ = copies.summit(edges, reach, about, within)
    along, rooms = ((x, about[1]), (0.25, within)) if axis == 0 else ((about[0], y), (within, 0.25))
    matches = [copies.match(each, along, rooms, Fat((axis,), fat.least, fat.most)) for each in found]
    places = [each.shift[1 - axis] for each in matches]
    spread = max(places) - min(places)
    best = float(np.median(places)) if spread > _AGREE_MM / fine.pixel_mm else places[0]
    shift = (x, best) if axis == 0 else (best, y)
    return _Place(shift, axis, matches[0].fat, matches[0].gain, spread)


def _turned(
    image: Scan,
    label: Scan,
    coarse: Working,
    partners: Mapping[int, int],
    about_mm: tuple[float, float],
    start: float,
    settings: Settings,
) -> float:
    """The turn at which the directions of all edges fit best; displaced fat is moved, but not turned.

    Args:
        image: PD.
        label: PDFS.
        coarse: both at no turn.
        partners: slices of PD and of PDFS.
        about_mm: roughly the shift.
        start: a turn to try as well.
        settings: bounds.

    Returns:
        The turn [rad]; 0 where none fits better.
    """
    pixel = settings.search_mm
    within = _WITHIN_MM / pixel
    pairs = list(partners.items())
    reach = math.ceil(math.hypot(*about_mm) / pixel + within + 2)
    size = size_of(coarse, reach)
    of_image = spectra(coarse.image, coarse.image_inside, size)
    heights: dict[float, float] = {}

    def height(angle: float) -> float:
        if angle not in heights:
            both = working(image, label, pixel, angle, coarse)
            at = Rigid(about_mm, angle).on_turned_grid
            surface = common_surface(of_image, spectra(both.label, both.label_inside, size), pairs, size, reach)
            heights[angle] = copies.top(surface, reach, (at[0] / pixel, at[1] / pixel), within)
        return heights[angle]

    bound = settings.bound_angle
    whole = math.floor(bound / _TURN_STEP) * _TURN_STEP
    tried = [*np.arange(-whole, whole + _TURN_STEP / 2, _TURN_STEP).tolist(), max(-bound, min(bound, start)), 0.0]
    best, step = max(tried, key=height), _TURN_STEP / 2
    while step > _TURN_STEP / 10:
        best = max((max(best - step, -bound), best, min(best + step, bound)), key=height)
        step /= 2
    if height(best) < _TURN_GAIN * height(0.0):
        return 0.0
    before, top, after = (height(best + side) for side in (-_TURN_STEP / 4, 0.0, _TURN_STEP / 4))
    bend = before - 2 * top + after
    off = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(max(-bound, min(bound, best + _TURN_STEP / 4 * max(-1.0, min(1.0, off)))))


def _by_slice(
    found: list[Correlations], volume: Rigid, pixel: float, settings: Settings, fat: Fat
) -> tuple[dict[int, Rigid], dict[int, float]]:
    """Where single slices lie, and how far what is kept lies from it [pixels of the working grid].

    The place of a slice is measured anew in it and its neighbours, by several features; the median of them counts.
    """
    middle = (volume.on_turned_grid[0] / pixel, volume.on_turned_grid[1] / pixel)
    matches = [copies.match(each, middle, 1.0, fat) for each in found]
    reach, count = found[0].reach, len(found[0].slices)
    slices, residual = {}, {}
    for place, k in enumerate(found[0].slices):
        around = torch.arange(max(0, place - _BLOCK), min(count, place + _BLOCK + 1))
        surfaces = [copies.surface_of(each, around, match) for each, match in zip(found, matches, strict=True)]
        places = np.array([copies.summit(surface, reach, middle, 3.0)[0] for surface in surfaces])
        x, y = np.median(places, axis=0)
        away = math.hypot(x - middle[0], y - middle[1])
        kept = volume
        if _LEAVE_PX < away <= settings.slice_bound_px and _gains(surfaces, reach, middle, (x, y)):
            own = [
                copies.surface_of(each, torch.tensor([place]), match)
                for each, match in zip(found, matches, strict=True)
            ]
            if _gains(own, reach, middle, (x, y)):  # its neighbours ask for another place, and so does the slice
                kept = _rigid((float(x), float(y)), pixel, volume.angle)
        slices[k] = kept
        at = kept.on_turned_grid
        residual[k] = math.hypot(x - at[0] / pixel, y - at[1] / pixel)
    return slices, residual


def _gains(surfaces: list[Tensor], reach: int, from_: tuple[float, float], to: tuple[float, float]) -> bool:
    """Whether every kind of feature finds one place much better than another."""
    for surface in surfaces:
        before, after = (copies.height_at(surface, reach, place) for place in (from_, to))
        if after <= _LEAVE_GAIN * max(before, 0.0):
            return False
    return True
