# SPDX-License-Identifier: Apache-2.0
"""From parameter maps to magnitude images: one stack, or a batch of slices of different studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.maps import TissueMaps
from scripts.simulation.scanner.imaging import Frame, Imager
from scripts.simulation.scanner.plan import CURVES
from scripts.simulation.scanner.scan import Environment, Scan
from scripts.simulation.tissue import TissueTable

_AT_ONCE = {"cpu": 1 << 20}
"""Complex numbers held at once, over curves and pixels, on a device: as many as a CPU's cache holds (8 MB)."""
_AT_ONCE_ELSEWHERE = 1 << 26


@dataclass(frozen=True)
class Images:
    """Magnitude images in units of fully relaxed free fluid at the isocentre.

    Args:
        magnitude: float32 ``(D, H, W)``, with noise where it was asked for.
        clean: the same without noise; the same tensor where no noise was asked for.
        sigma: standard deviation of the real and of the imaginary part of the noise at the isocentre, ``(D,)``.
    """

    magnitude: Tensor
    clean: Tensor
    sigma: Tensor


def acquire(
    maps: TissueMaps,
    scan: Scan,
    tissues: TissueTable,
    environment: Environment,
    seed: int,
    slices: Sequence[int] | None = None,
    noise: bool = True,
    nominal: bool = False,
    as_if: Scan | None = None,
    device: torch.device | str | None = None,
) -> Images:
    """Image a stack, or some of its slices.

    Args:
        maps: of the knee.
        scan: sequence, suppression and noise level.
        tissues: of the knee.
        environment: field strength, coil and field errors.
        seed: of the noise; scans of one study need different ones.
        slices: numbers of the slices; None for all.
        noise: add noise.
        nominal: the nominal pulse without field errors in place of the scan's suppression, and no ghosts.
        as_if: the scan whose readout, point spread, motion and processing the images have; None is ``scan`` itself.
        device: where to compute; None is where the maps are.

    Returns:
        Images of the slices in their order, on that device.
    """
    wanted = range(maps.labels.shape[0]) if slices is None else slices
    frames = [Frame(maps, index, scan, tissues, environment, seed, as_if, nominal) for index in wanted]
    return expose(frames, noise, device)


def expose(frames: Sequence[Frame], noise: bool = True, device: torch.device | str | None = None) -> Images:
    """Image slices of any studies and scans together.

    Args:
        frames: the slices, all of one size.
        noise: add noise to the frames that are noisy.
        device: where to compute; None is where the first frame's maps are.

    Returns:
        Images in the order of the frames.

    Raises:
        ValueError: for no frames, a slice that is not there, or frames of different sizes.
    """
    if not frames:
        raise ValueError("There is nothing to image; give at least one slice.")
    shape = frames[0].maps.labels.shape[1:]
    for frame in frames:
        if frame.maps.labels.shape[1:] != shape:
            raise ValueError(f"Slices of {tuple(shape)} and {tuple(frame.maps.labels.shape[1:])} cannot be one batch.")
        if not 0 <= frame.index < frame.maps.labels.shape[0]:
            raise ValueError(f"Slice {frame.index} is not one of {frame.maps.labels.shape[0]}, counted from 0.")
    target = torch.device(device) if device is not None else frames[0].maps.compartment.device
    size = (len(frames), *shape)
    clean = torch.empty(size, device=target)
    noisy = torch.empty(size, device=target) if noise else clean
    imager = Imager((int(shape[0]), int(shape[1])), target, frames)
    sigma = torch.tensor([imager.plan(frame).sigma for frame in frames], device=target)
    for numbers in _groups(frames, imager, noise):
        at = torch.tensor(numbers, device=target)
        group = [frames[number] for number in numbers]
        image, seen = imager.image(group, noise and group[0].noisy)
        clean[at] = image
        if noise:
            noisy[at] = seen
    return Images(noisy, clean, sigma)


def _groups(frames: Sequence[Frame], imager: Imager, noise: bool) -> list[list[int]]:
    """Frames that can be computed together, and not too many at once."""
    found: dict[tuple[int, bool, bool, int, bool], list[int]] = {}
    for number, frame in enumerate(frames):
        found.setdefault(imager.kind(frame, noise), []).append(number)
    groups, pixels = [], frames[0].maps.labels[0].numel()
    limit = _AT_ONCE.get(imager.device.type, _AT_ONCE_ELSEWHERE)
    for kind, numbers in found.items():
        together = max(1, limit // (pixels * max(CURVES + 2, kind[3])))
        groups += [numbers[first : first + together] for first in range(0, len(numbers), together)]
    return groups
