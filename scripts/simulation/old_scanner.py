# SPDX-License-Identifier: Apache-2.0
"""What the scanner does to a signal: coil shading, k-space sampling, chemical-shift displacement, thermal noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class CoilShading:
    """Receive sensitivity of a surface coil as a sum of smooth lobes around the leg.

    Args:
        centres: lobe positions [mm], ``(n, 3)``, in scanner coordinates.
        reach: distance [mm] over which each lobe halves, ``(n,)``.
        strength: gain at the lobe relative to the uniform part, ``(n,)``.
    """

    centres: torch.Tensor
    reach: torch.Tensor
    strength: torch.Tensor

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        """Sensitivity at ``points`` ``(3, ...)`` [mm], at least 1 (the uniform part), shape ``(...)``."""
        gain = torch.ones(points.shape[1:], dtype=points.dtype)
        for centre, reach, strength in zip(self.centres, self.reach, self.strength, strict=True):
            squared = sum((points[axis] - centre[axis]) ** 2 for axis in range(3))
            gain = gain + strength / (1 + squared / reach**2)
        return gain


def draw_coil(generator: torch.Generator, steepness: float = 1.0) -> CoilShading:
    """Draw a coil: one to four lobes 60-110 mm from the joint; brightest to darkest about 1.3 to 5 over a knee.

    Args:
        generator: the source of randomness (CPU).
        steepness: multiple of the lobes' strength; 0 is a uniform coil.
    """
    count = int(torch.randint(1, 5, (), generator=generator))
    angle = torch.rand(count, generator=generator) * 2 * torch.pi
    radius = 60 + 50 * torch.rand(count, generator=generator)
    height = 120 * (torch.rand(count, generator=generator) - 0.5)
    centres = torch.stack((radius * angle.cos(), radius * angle.sin(), height), dim=1)
    reach = 25 + 45 * torch.rand(count, generator=generator)
    strength = steepness * (0.5 + 4.5 * torch.rand(count, generator=generator) ** 1.5)
    return CoilShading(centres, reach, strength)


def sample_k_space(
    water: torch.Tensor,
    fat: torch.Tensor,
    matrix: tuple[float, float],
    fat_shift: float = 0.0,
    fat_axis: int = -1,
) -> torch.Tensor:
    """Acquire a smaller k-space than the image shows and fill the rest with zeros.

    The point spread function with its Gibbs ringing follows. Fat is displaced along the readout by its chemical
    shift, applied as a linear phase.

    Args:
        water: water signal ``(..., H, W)``, real.
        fat: fat signal, same shape.
        matrix: acquired share of the rows and of the columns of k-space, 0..1.
        fat_shift: displacement of fat [pixels].
        fat_axis: the readout axis, -1 or -2.

    Returns:
        Complex image ``(..., H, W)``, without noise.
    """
    spectrum_fat = torch.fft.fft2(fat)
    if fat_shift:
        frequency = torch.fft.fftfreq(fat.shape[fat_axis])
        ramp = torch.exp(-2j * torch.pi * frequency * fat_shift)
        spectrum_fat = spectrum_fat * (ramp if fat_axis == -1 else ramp[:, None])
    return torch.fft.ifft2((torch.fft.fft2(water) + spectrum_fat) * sampled(water.shape[-2:], matrix))


def sampled(shape: torch.Size | tuple[int, ...], matrix: tuple[float, float]) -> torch.Tensor:
    """Mask of the acquired k-space, 0 or 1, in FFT order, shape ``(H, W)``."""
    rows, columns = (
        (torch.fft.fftfreq(size).abs() <= share / 2).float() for size, share in zip(shape, matrix, strict=True)
    )
    return rows[:, None] * columns


def thermal_noise(
    shape: torch.Size | tuple[int, ...], sigma: float, matrix: tuple[float, float], generator: torch.Generator
) -> torch.Tensor:
    """Complex Gaussian noise of the acquired k-space, as the zero-filled image shows it: correlated between pixels.

    Args:
        shape: shape of the image, ``(..., H, W)``.
        sigma: standard deviation of the real and of the imaginary part in the image.
        matrix: acquired share of the rows and columns of k-space.
        generator: the source of randomness (CPU).

    Returns:
        Complex noise of that shape.
    """
    white = torch.complex(torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))
    if min(matrix) >= 1:
        return sigma * white
    mask = sampled(tuple(shape[-2:]), matrix)
    # Dropping the outer k-space takes its share of the variance with it; sigma is that of the image.
    return sigma * torch.fft.ifft2(torch.fft.fft2(white) * mask) / mask.mean().sqrt()
