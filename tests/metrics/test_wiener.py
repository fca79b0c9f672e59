# SPDX-License-Identifier: Apache-2.0
"""The reference denoiser is the Wiener filter, and its leakage is the known one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scripts.metrics.wiener import wiener, wiener_leakage

SHAPE = (3, 128, 128)
MEAN = 0.6


def texture(power: float, spread: float, seed: int = 0) -> Tensor:
    """A random texture with an amplitude that falls as ``frequency^-power``."""
    line = torch.fft.fftfreq(SHAPE[-1])
    frequency = torch.hypot(line[:, None], line)
    frequency[0, 0] = 1 / SHAPE[-1]
    white = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
    grain = torch.fft.ifft2(torch.fft.fft2(white) * frequency**-power).real
    return MEAN + spread * (grain - grain.mean()) / grain.std()


def noisy(clean: Tensor, sigma: float, seed: int) -> Tensor:
    return clean + sigma * torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def rms(volume: Tensor) -> float:
    return float(volume.square().mean().sqrt())


@pytest.mark.parametrize("snr", [10, 3])
def test_a_white_texture_is_shrunk_by_its_share_of_the_power(snr: int) -> None:
    sigma, spread = MEAN / snr, 0.2
    clean = texture(0, spread)
    index = wiener_leakage(noisy(clean, sigma, 1), noisy(clean, sigma, 2), clean, sigma, torch.ones(SHAPE))
    assert index == pytest.approx(spread**2 / (spread**2 + sigma**2), abs=0.02)


def test_the_design_s_reference_belongs_to_a_texture_of_one_over_frequency_and_half_the_mean() -> None:
    clean, whole = texture(1, MEAN / 2), torch.ones(SHAPE)
    for snr, expected in ((10, 0.85), (3, 0.47)):
        sigma = MEAN / snr
        index = wiener_leakage(noisy(clean, sigma, 1), noisy(clean, sigma, 2), clean, sigma, whole)
        assert index == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize("snr", [10, 3])
@pytest.mark.parametrize("power", [0.5, 1.0, 1.5])
def test_it_is_hardly_worse_than_the_filter_that_knows_the_true_spectrum(power: float, snr: int) -> None:
    clean, sigma = texture(power, 0.2), MEAN / snr
    source = noisy(clean, sigma, 1)
    line = torch.fft.fftfreq(SHAPE[-1])
    spectrum = torch.hypot(line[:, None], line).clamp(min=1 / SHAPE[-1]) ** (-2 * power)
    spectrum = spectrum * (clean - MEAN).square().mean() / spectrum.mean()
    spectrum[0, 0] = torch.inf
    passed = 1 / (1 + sigma**2 / spectrum)
    best = rms(torch.fft.ifft2(torch.fft.fft2(source) * passed).real - clean)
    assert best < rms(source - clean)
    assert rms(wiener(source, sigma) - clean) < 1.03 * best


def test_pure_noise_is_nearly_erased_and_little_noise_changes_nothing() -> None:
    flat = torch.full(SHAPE, MEAN)
    assert rms(wiener(noisy(flat, 0.1, 1), 0.1) - flat) < 0.03
    clean = texture(0.5, 0.2)
    torch.testing.assert_close(wiener(clean, 1e-4), clean.double(), atol=1e-4, rtol=0)


def test_a_gain_goes_through() -> None:
    source = noisy(texture(1, 0.2), 0.1, 1)
    torch.testing.assert_close(wiener(3 * source, 0.3), 3 * wiener(source, 0.1), atol=1e-6, rtol=1e-6)


def test_noise_without_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="sigma is 0"):
        wiener(texture(1, 0.2), 0)
