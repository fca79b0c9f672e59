# SPDX-License-Identifier: Apache-2.0
"""Where PDFS lies on PD within the slice: one rigid map for the volume, and for a slice only where the data ask for it.

SimpleITK's mutual information finds the turn to start from. It is drawn towards displaced fat by up to its
displacement (see `copies`), so that the place itself, the turn's last step and each slice follow from `copies`.
No prediction of any network takes part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scripts.pairing import copies
from scripts.pairing.copies import CHECKED, FARTHEST_FAT, FITTED, TURNED, Correlations, Fat
from scripts.pairing.readout import Readout, fat_of
from scripts.pairing.settings import Settings
from scripts.pairing.volume import Scan, Working, working

_MI_PIXEL_MM = 1.4
_WITHIN_MM = 4.5  # of the coarse place, which displaced fat may have drawn away
_FINEST_MM = 0.45  # pixels of PD are not worked on in finer steps
_TURN_STEP = math.radians(0.8)
_TURN_GAIN = 1.1  # a turn has to explain so much more than none, by both kinds of edges together
_STAY_PX, _STAY_GAIN = 1.0, 0.95  # a shift below is taken only where it explains more than the header's place
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
    turn = max(-settings.bound_angle, min(settings.bound_angle, turn))
    coarse_fat = fat_of(readout, image.grid, settings.search_mm)
    angle = _turned(image, label, coarse, partners, about_mm, turn, settings, coarse_fat)
    pixel = max(min(image.grid.pixel_mm), _FINEST_MM)
    fine = working(image, label, pixel, angle)
    within = _WITHIN_MM / pixel
    start = Rigid(about_mm, angle).on_turned_grid
    about = (start[0] / pixel, start[1] / pixel)
    reach = math.ceil(max(abs(about[0]), abs(about[1])) + within + FARTHEST_FAT + 2)
    found = [copies.correlate(fine, partners, reach, features, about) for features in FITTED]
    fat = fat_of(readout, image.grid, pixel)
    matches = [copies.match(each, about, within, fat) for each in found]
    shifts = np.array([each.shift for each in matches])
    shift = np.median(shifts, axis=0)
    gains = [each.gain for each in matches]
    best = matches[int(np.argmax(gains))]
    if known and np.hypot(*shift) < _STAY_PX:
        still = [copies.match(each, (0.0, 0.0), 0.25, fat).gain for each in found]
        if sum(still) >= _STAY_GAIN * sum(gains):
            shift = np.zeros(2)
    volume = _rigid((float(shift[0]), float(shift[1])), pixel, angle)
    checked = copies.correlate(fine, partners, reach, CHECKED, about)
    slices, residual = _by_slice([checked, *found], volume, pixel, settings, fat)
    own = max(image.grid.pixel_mm)
    apart = math.hypot(mutual[0] - volume.shift_mm[0], mutual[1] - volume.shift_mm[1])
    return Registration(
        volume=volume,
        slices=slices,
        residual_px={k: value * pixel / own for k, value in residual.items()},
        gain=float(np.median(gains)),
        fat_px=best.fat * pixel / own,
        mutual_px=apart / own,
        spread_px=float(np.linalg.norm(shifts - np.median(shifts, axis=0), axis=1).max()) * pixel / own,
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


def _turned(
    image: Scan,
    label: Scan,
    coarse: Working,
    partners: Mapping[int, int],
    about_mm: tuple[float, float],
    start: float,
    settings: Settings,
    fat: Fat,
) -> float:
    """The turn at which PDFS explains most of PD; none where none does as well."""
    pixel = settings.search_mm
    about = (about_mm[0] / pixel, about_mm[1] / pixel)
    within = _WITHIN_MM / pixel
    reach = math.ceil(max(abs(about[0]), abs(about[1])) + within + FARTHEST_FAT + 2)
    gains: dict[float, float] = {}

    def gain(angle: float) -> float:
        angle = max(-settings.bound_angle, min(settings.bound_angle, angle))
        if angle not in gains:
            both = working(image, label, pixel, angle, coarse)
            found = [copies.correlate(both, partners, reach, features, about) for features in TURNED]
            gains[angle] = math.prod(copies.match(each, about, within, fat).gain for each in found)
        return gains[angle]

    best = max((0.0, start, start / 2), key=gain)
    step = _TURN_STEP
    while step > _TURN_STEP / 3:
        for _ in range(4):
            better = max((best - step, best, best + step), key=gain)
            if better == best:
                break
            best = better
        step /= 2
    tried = sorted(gains)
    place = tried.index(best) if best in tried else -1
    if gains[best] < _TURN_GAIN * gain(0.0):
        return 0.0
    if 0 < place < len(tried) - 1:  # a parabola through the neighbours
        x, y = np.array(tried[place - 1 : place + 2]), np.array([gains[t] for t in tried[place - 1 : place + 2]])
        bend = np.polyfit(x - best, y, 2)
        if bend[0] < 0:
            top = best - bend[1] / (2 * bend[0])
            best = float(np.clip(top, x[0], x[2]))
    return float(max(-settings.bound_angle, min(settings.bound_angle, best)))


def _by_slice(
    found: list[Correlations], volume: Rigid, pixel: float, settings: Settings, fat: Fat
) -> tuple[dict[int, Rigid], dict[int, float]]:
    """Where single slices lie, and how far what is kept lies from it [pixels of the working grid].

    The place of a slice is measured anew in it and its neighbours, by features that the volume's place did not follow
    from and by those that it did; the median of them counts.
    """
    middle = (volume.on_turned_grid[0] / pixel, volume.on_turned_grid[1] / pixel)
    matches = [copies.match(each, middle, 1.0, fat) for each in found]
    checked, reach, count = found[0], found[0].reach, len(found[0].slices)
    slices, residual = {}, {}
    for place, k in enumerate(checked.slices):
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
