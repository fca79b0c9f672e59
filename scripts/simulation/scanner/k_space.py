# SPDX-License-Identifier: Apache-2.0
"""Which part of k-space is sampled, with what weight, and what chemical shift and displacement do to its phase.

Everything separates into one vector along the phase encoding and one along the readout, in FFT order, except elliptical
sampling and sharpening.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.signal import GYROMAGNETIC_RATIO, MEAN_FAT_SHIFT


@dataclass(frozen=True)
class Readout:
    """How k-space is read.

    Args:
        axis: of the image along which frequency encodes, -1 columns or -2 rows; the other is the phase axis.
        bandwidth: per acquired pixel [Hz].
        matrix: acquired share of k-space along the readout and along the phase axis, 0..1; the rest is filled with
            zeros, as scanners interpolate.
        polarity: direction of the readout gradient, 1 or -1: towards which side fat is displaced.
        partial_fourier: acquired share of the phase-encoding lines, .5..1; what is missing is filled with zeros.
        window: strength of the filter against ringing, 0 none, 1 Hamming's.
        elliptical: leave the corners of k-space out.
    """

    axis: int
    bandwidth: float
    matrix: tuple[float, float] = (1.0, 1.0)
    polarity: int = 1
    partial_fourier: float = 1.0
    window: float = 0.0
    elliptical: bool = False

    def __post_init__(self) -> None:
        if self.axis not in (-1, -2) or self.polarity not in (-1, 1):
            raise ValueError(f"Need axis -1 or -2 and polarity 1 or -1, found {self}.")
        if self.bandwidth <= 0 or not 0 <= self.window <= 1:
            raise ValueError(f"Need a bandwidth above zero [Hz] and 0 <= window <= 1, found {self}.")
        if not (0 < min(self.matrix) and max(self.matrix) <= 1 and 0.5 < self.partial_fourier <= 1):
            raise ValueError(f"Need 0 < matrix <= 1 and .5 < partial_fourier <= 1, found {self}.")


def lines(size: int) -> Tensor:
    """Steps of k-space from its middle in FFT order, whole numbers, float64 ``(size,)``."""
    return torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)


def sampled(size: int, share: float, partial_fourier: float = 1.0) -> Tensor:
    """Which lines are acquired, bool ``(size,)``: the middle ``share``, of which partial Fourier leaves one end out."""
    step = lines(size)
    reach = max(share * size / 2, 0.5)
    inside = step.abs() <= reach
    return inside & (step >= -(2 * partial_fourier - 1) * reach)


def weights(size: int, share: float, partial_fourier: float = 1.0, window: float = 0.0) -> Tensor:
    """What each line of k-space is multiplied with, 0..1, float64 ``(size,)``: sampling, and the window within it.

    The window is ``1 - window (.46 - .46 cos(pi k / kmax))``, at full strength Hamming's.
    """
    inside = sampled(size, share, partial_fourier)
    reach = max(share * size / 2, 0.5)
    hamming = 0.54 + 0.46 * torch.cos(math.pi * lines(size) / reach)
    return inside * (1 - window + window * hamming)


def displacement(size: int, pixels: float) -> Tensor:
    """Phase over k-space that moves an image by ``pixels`` towards higher indices, complex128 ``(size,)``."""
    return torch.polar(torch.ones(size, dtype=torch.float64), -2 * math.pi * lines(size) * pixels / size)


def fat_shift(readout: Readout, field_strength: float, size: int) -> float:
    """Displacement of fat along the readout [image pixels], ``shift / bandwidth``, where an image pixel may be finer.

    The lines of fat are displaced together, by their mean.
    """
    step = 1 / acquired_share(size, readout.matrix[0])
    return readout.polarity * MEAN_FAT_SHIFT * GYROMAGNETIC_RATIO * field_strength / readout.bandwidth * step


def acquired_share(size: int, share: float) -> float:
    """Share of k-space that whole lines make of the wanted one."""
    return float(sampled(size, share).double().mean())


def ellipse(readout: Readout, shape: tuple[int, int]) -> Tensor:
    """Elliptical sampling of a k-space of (phase, readout) ``shape``: 0 or 1, float32."""
    (rows, columns), (along, across) = shape, readout.matrix
    row = lines(rows)[:, None] / max(across * rows / 2, 0.5)
    column = lines(columns) / max(along * columns / 2, 0.5)
    return (row.square() + column.square() <= 1).float()
