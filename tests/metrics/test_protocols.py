# SPDX-License-Identifier: Apache-2.0
"""The rulers against independent computations, and that each looks where it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor

from scripts.errors import UsageError
from scripts.metrics.protocols import FASTMRI, OURS, protocol, ssim_uniform

SHAPE = (3, 40, 36)


@pytest.fixture
def volumes() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(SHAPE, generator=generator) ** 2 * 1.7
    return target + 0.1 * torch.randn(SHAPE, generator=generator), target


def reference_ssim(x: np.ndarray, y: np.ndarray, data_range: float, window: int = 7) -> float:
    """SSIM of one slice after the definition of ``skimage.metrics.structural_similarity``, by SciPy's filters."""
    count = window**2
    ux, uy = uniform_filter(x, window), uniform_filter(y, window)
    vx, vy, vxy = (
        count / (count - 1) * (uniform_filter(a * b, window) - uniform_filter(a, window) * uniform_filter(b, window))
        for a, b in ((x, x), (y, y), (x, y))
    )
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    border = (window - 1) // 2
    return float(values[border:-border, border:-border].mean())


def test_ssim_of_fastmri_is_that_of_the_public_evaluation(volumes: tuple[Tensor, Tensor]) -> None:
    pred, target = volumes
    peak = float(target.max())
    slices = [reference_ssim(p.double().numpy(), t.double().numpy(), peak) for p, t in zip(pred, target, strict=True)]
    assert torch.allclose(ssim_uniform(pred, target, peak), torch.tensor(slices, dtype=torch.float64), atol=1e-10)
    found = FASTMRI.score(pred[None, None], target[None, None], torch.ones(1, 1, *SHAPE))
    assert float(found["ssim"]) == pytest.approx(np.mean(slices), abs=1e-10)


def test_psnr_and_nmse_of_fastmri(volumes: tuple[Tensor, Tensor]) -> None:
    pred, target = (one.double().numpy() for one in volumes)
    found = FASTMRI.score(volumes[0][None, None], volumes[1][None, None], torch.ones(1, 1, *SHAPE))
    error = ((pred - target) ** 2).mean()
    assert float(found["psnr"]) == pytest.approx(10 * np.log10(target.max() ** 2 / error), rel=1e-9)
    assert float(found["nmse"]) == pytest.approx(np.linalg.norm(pred - target) ** 2 / np.linalg.norm(target) ** 2)


def test_fastmri_does_not_care_in_which_unit_both_are_stored(volumes: tuple[Tensor, Tensor]) -> None:
    ones = torch.ones(1, 1, *SHAPE)
    plain = FASTMRI.score(volumes[0][None, None], volumes[1][None, None], ones)
    scaled = FASTMRI.score(900 * volumes[0][None, None], 900 * volumes[1][None, None], ones)
    for name in ("psnr", "ssim", "nmse"):
        assert float(plain[name]) == pytest.approx(float(scaled[name]), rel=1e-6)


def test_fastmri_looks_at_the_centre_and_everywhere_in_it() -> None:
    volume = torch.zeros(1, 1, 2, 400, 330)
    volume[..., 40:360, 5:325] = 1.0
    assert FASTMRI.view(volume).shape[-2:] == (320, 320) and bool((FASTMRI.view(volume) == 1).all())
    assert FASTMRI.view(torch.zeros(1, 5, 300, 350)).shape == (1, 5, 300, 320), "a smaller side stays as it is"
    assert bool(FASTMRI.region(torch.zeros(1, 2, 30, 30)).all()), "air counts too"
    body = torch.rand(1, 2, 30, 30) > 0.5
    assert torch.equal(OURS.region(body), body) and OURS.view(volume).shape == volume.shape


def test_an_unknown_protocol_and_unfit_volumes_are_refused() -> None:
    with pytest.raises(UsageError, match="one of ours, fastmri"):
        protocol("theirs")
    with pytest.raises(ValueError, match="at least 7 x 7"):
        ssim_uniform(torch.zeros(1, 6, 9), torch.zeros(1, 6, 9), 1.0)
    zeros = torch.zeros(1, 1, *SHAPE)
    with pytest.raises(ValueError, match="no data range"):
        FASTMRI.score(zeros, zeros, zeros + 1)
