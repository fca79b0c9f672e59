# SPDX-License-Identifier: Apache-2.0
"""Thermal noise: complex, Gaussian, white in the acquired k-space, and so correlated between interpolated pixels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from scripts.simulation.scanner.k_space import weights

_SLICES = 1 << 16


@dataclass(frozen=True)
class Noise:
    """How noisy a scan is.

    Args:
        snr: signal of muscle at the isocentre over the standard deviation of the real part of the noise there.
        g_factor: noise in the middle of the field of view relative to its edge, amplified by parallel imaging; 1 none.
    """

    snr: float
    g_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.snr <= 0 or self.g_factor < 1:
            raise ValueError(f"Need an SNR above zero and a g-factor of at least 1, found {self}.")


def slice_seed(seed: int, index: int) -> int:
    """Seed of the noise of one slice, so that a slice alone is the same as in its stack."""
    return (seed * _SLICES + index) % (1 << 63)


def amplification(noise: Noise, row: Tensor, column: Tensor) -> Tensor:
    """Noise relative to the middle of the field of view, 0..1; ``row`` and ``column`` run from -1 to 1 over it.

    Smooth and highest in the middle, as for a ring of elements (Pruessmann et al., MRM 1999;42:952).
    """
    bell = torch.exp(-2.5 * (row.square() + column.square()))
    return (1 + (noise.g_factor - 1) * bell) / noise.g_factor


def draw_k_space(inside: tuple[Tensor, Tensor], receivers: int, generator: torch.Generator) -> Tensor:
    """Draw white noise on the acquired lines only.

    Args:
        inside: acquired lines along both axes in FFT order, bool ``(H,)`` and ``(W,)``.
        receivers: number of independent receivers.
        generator: the source of randomness.

    Returns:
        Complex64 ``(receivers, H, W)``; real and imaginary part have variance one where sampled.
    """
    (rows, columns), device = inside, generator.device
    at_row, at_column = (torch.nonzero(one.to(device)).flatten() for one in inside)
    drawn = torch.randn(receivers, len(at_row), len(at_column), 2, generator=generator, device=device)
    white = torch.view_as_complex(drawn)
    if bool(rows.all()) and bool(columns.all()):
        return white
    full = torch.zeros(receivers, len(rows), len(columns), dtype=torch.complex64, device=device)
    # The acquired lines are the first and the last of the FFT order, so that four blocks hold all of them.
    for of_row in _blocks(at_row):
        for of_column in _blocks(at_column):
            full[
                :, at_row[of_row][0] : at_row[of_row][-1] + 1, at_column[of_column][0] : at_column[of_column][-1] + 1
            ] = white[:, of_row, of_column]
    return full


def _blocks(places: Tensor) -> list[slice]:
    breaks = (torch.nonzero(places.diff() > 1).flatten() + 1).tolist()
    edges = [0, *breaks, len(places)]
    return [slice(first, last) for first, last in pairwise(edges)]


def image_scale(power: Tensor, size: int) -> Tensor:
    """Standard deviation in k-space that gives one in the image of ``size`` pixels, from the summed squared weights."""
    return size / power.sqrt()


def thermal_noise(
    shape: torch.Size | tuple[int, ...], sigma: float, matrix: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Complex noise of one receiver, as a zero-filled image shows it.

    Args:
        shape: of the image, ``(..., H, W)``.
        sigma: standard deviation of the real and of the imaginary part in the image.
        matrix: acquired share of the rows and of the columns of k-space, 0..1.
        generator: the source of randomness.

    Returns:
        Complex noise of that shape.
    """
    rows, columns = (weights(size, share) for size, share in zip(shape[-2:], matrix, strict=True))
    count = int(torch.Size(shape[:-2]).numel())
    drawn = draw_k_space((rows > 0, columns > 0), count, generator)
    scale = image_scale(rows.sum() * columns.sum(), len(rows) * len(columns))
    return torch.fft.ifft2(drawn * (sigma * float(scale))).reshape(shape)
