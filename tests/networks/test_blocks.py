# SPDX-License-Identifier: Apache-2.0
"""What the parts of the network promise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scripts.blocks import BIN_WIDTH, BINS, SILU_GAIN, ChannelNorm, IntensityBasis, convolution


def image(height: int = 40, width: int = 52) -> torch.Tensor:
    return torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0)) + 0.2


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (37, 5)])
def test_a_basis_keeps_the_grid_and_names_its_channels(size: tuple[int, int]) -> None:
    basis = IntensityBasis(1)
    assert basis(image(*size)).shape == (2, basis.out_channels, *size)


def test_local_contrast_hardly_feels_a_smooth_shading_and_not_at_all_a_gain() -> None:
    basis, plain = IntensityBasis(1), image(96, 96)
    shaded = plain * torch.linspace(1, 3, 96)
    before, after = basis.contrast(plain, 4), basis.contrast(shaded, 4)
    assert float((before - after)[..., 12:-12].abs().mean()) < 0.1 * float(before.std())
    flat = torch.full((1, 1, 32, 32), 0.7)
    torch.testing.assert_close(basis.contrast(flat, 4), torch.zeros(1, 1, 32, 32))


def test_each_bin_answers_at_its_own_brightness() -> None:
    basis = IntensityBasis(1)
    for index in range(BINS):
        bins = basis(torch.full((1, 1, 4, 4), index * BIN_WIDTH))[0, 1 : 1 + BINS, 0, 0]
        assert int(bins.argmax()) == index
        assert float(bins[index]) == pytest.approx(1)


def test_channels_are_expanded_each_by_itself() -> None:
    one, two = image(), image().flip(-1)
    assert IntensityBasis(2)(torch.cat((one, two), dim=1)).shape[1] == 2 * IntensityBasis(1).out_channels


def test_a_convolution_keeps_the_variance() -> None:
    torch.manual_seed(0)
    out = convolution(256, 256, gain=SILU_GAIN)(F.silu(torch.randn(2, 256, 16, 16))).detach()
    # The mean of SiLU is not zero, so the gain holds for the second moment.
    assert float(out[..., 1:-1, 1:-1].square().mean()) == pytest.approx(1, rel=0.1)


def test_a_code_has_no_scale() -> None:
    norm, x = ChannelNorm(16), torch.randn(2, 16, 5, 5)
    torch.testing.assert_close(norm(x), norm(10 * x), atol=1e-3, rtol=0)
