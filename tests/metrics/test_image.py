# SPDX-License-Identifier: Apache-2.0
"""The ruler against closed forms and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.metrics.regression import compute_ssim_and_cs
from torch import Tensor

from scripts.metrics.image import HIGHER_IS_BETTER, mae, match_gain, nmse, psnr, score, ssim, ssim_map


def volumes(seed: int = 0, shape: tuple[int, ...] = (2, 1, 3, 24, 20)) -> tuple[Tensor, Tensor, Tensor]:
    """A prediction, a target and a body mask that leaves a part of the image out."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator)
    pred = (0.8 * target + 0.1 + 0.1 * torch.randn(shape, generator=generator)).clamp(min=0)
    body = torch.zeros(shape, dtype=torch.bool)
    body[..., 2:-3, 4:-6] = True
    return pred, target, body


def direct_ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """SSIM written out from Wang 2004, window by window, with explicit weighted sums."""
    weights = np.array([[math.exp(-(i * i + j * j) / (2 * 1.5**2)) for j in range(-5, 6)] for i in range(-5, 6)])
    weights /= weights.sum()
    out = np.empty((x.shape[0] - 10, x.shape[1] - 10))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            cov = (weights * (a - ma) * (b - mb)).sum()
            out[i, j] = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    return out


def test_equal_volumes_are_perfect() -> None:
    _, target, body = volumes()
    scores = score(target, target, body)
    assert torch.isposinf(scores["psnr"]).all()
    torch.testing.assert_close(scores["ssim"], torch.ones(2, dtype=torch.float64))
    assert scores["mae"].eq(0).all() and scores["nmse"].eq(0).all()
    assert list(scores) == list(HIGHER_IS_BETTER)


@pytest.mark.parametrize(("offset", "decibel"), [(0.1, 20.0), (0.01, 40.0), (-0.5, 20 * math.log10(2))])
def test_a_constant_offset_has_the_analytic_scores(offset: float, decibel: float) -> None:
    _, target, body = volumes()
    pred = target + offset
    np.testing.assert_allclose(psnr(pred, target, body), decibel, rtol=1e-5)
    np.testing.assert_allclose(mae(pred, target, body), abs(offset), rtol=1e-5)
    energy = (target[0, 0].double() ** 2)[body[0, 0]].mean()
    np.testing.assert_allclose(nmse(pred, target, body)[0], offset**2 / energy, rtol=1e-5)


def test_the_data_range_is_fixed_and_not_taken_from_the_image() -> None:
    _, target, body = volumes()
    np.testing.assert_allclose(psnr(3 * target + 0.1, 3 * target, body), 20.0, rtol=1e-5)
    np.testing.assert_allclose(psnr(target + 0.1, target, body, data_range=2.0), 20 + 20 * math.log10(2), rtol=1e-5)


def test_only_the_body_counts() -> None:
    pred, target, body = volumes()
    spoilt = torch.where(body, pred, torch.full_like(pred, 9.0))
    for measure in (psnr, mae, nmse):
        torch.testing.assert_close(measure(spoilt, target, body), measure(pred, target, body))
    inside = torch.where(body, pred + 0.2, pred)
    assert (psnr(inside, target, body) < psnr(pred, target, body)).all()
    # A pixel of the body is compared by its window, so air more than five pixels away must not matter, nearer air may.
    far = pred.clone()
    body[..., 8:, :] = False
    far[..., 13:, :] = 9.0
    torch.testing.assert_close(ssim(far, target, body), ssim(pred, target, body))
    far[..., 12, :] = 9.0
    assert (ssim(far, target, body) < ssim(pred, target, body)).all()


def test_the_error_is_pooled_over_the_volume_and_not_averaged_over_slices() -> None:
    _, target, _ = volumes(shape=(1, 1, 2, 24, 20))
    body = torch.zeros_like(target)
    body[0, 0, 0, 5:-5, 5:-5] = 1.0
    body[0, 0, 1, 12, 10] = 1.0
    many, one = int(body[0, 0, 0].sum()), 1
    pred = target.clone()
    pred[0, 0, 0] += 0.1
    pred[0, 0, 1] += 0.5
    expected = -10 * math.log10((many * 0.1**2 + one * 0.5**2) / (many + one))
    np.testing.assert_allclose(psnr(pred, target, body)[0], expected, rtol=1e-5)
    maps = ssim_map(pred[0, 0], target[0, 0])
    pooled = (maps[0].sum() + maps[1, 12 - 5, 10 - 5]) / (many + one)
    torch.testing.assert_close(ssim(pred, target, body)[0], pooled)


def test_each_volume_of_a_batch_has_its_own_value() -> None:
    pred, target, body = volumes()
    for name, values in score(pred, target, body).items():
        alone = torch.cat([score(pred[i : i + 1], target[i : i + 1], body[i : i + 1])[name] for i in range(2)])
        torch.testing.assert_close(values, alone)
        assert values[0] != values[1]


def test_the_ssim_map_equals_the_formula_written_out() -> None:
    pred, target, _ = volumes(shape=(1, 1, 1, 17, 14))
    expected = direct_ssim(pred[0, 0, 0].double().numpy(), target[0, 0, 0].double().numpy())
    np.testing.assert_allclose(ssim_map(pred[0, 0, 0], target[0, 0, 0]), expected, atol=1e-12)


def test_the_ssim_map_equals_monai() -> None:
    pred, target, _ = volumes()
    theirs, _ = compute_ssim_and_cs(pred[0].transpose(0, 1), target[0].transpose(0, 1), 2, [11, 11], [1.5, 1.5])
    np.testing.assert_allclose(ssim_map(pred[0, 0], target[0, 0]), theirs[:, 0], atol=2e-5)


def test_gain_matching_removes_a_gain_and_nothing_else() -> None:
    pred, target, body = volumes()
    matched, gain = match_gain(pred, target, body)
    again, scaled_gain = match_gain(2.5 * pred, target, body)
    torch.testing.assert_close(matched, again, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(scaled_gain, gain / 2.5, rtol=1e-6, atol=0)
    torch.testing.assert_close(psnr(again, target, body), psnr(matched, target, body), rtol=1e-6, atol=0)
    exact, exact_gain = match_gain(0.4 * target, target, body)
    np.testing.assert_allclose(exact_gain, 2.5, rtol=1e-5)
    np.testing.assert_allclose(exact, target, atol=1e-6)
    # An offset is a fault of the synthesis; a gain must not hide it.
    assert (psnr(match_gain(target + 0.2, target, body)[0], target, body) < 30).all()


def test_no_other_gain_comes_closer() -> None:
    pred, target, body = volumes()
    matched, gain = match_gain(pred, target, body)
    best = psnr(matched, target, body)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert (psnr(pred * gain.view(-1, 1, 1, 1, 1) * factor, target, body) < best).all()
    black, gain = match_gain(torch.zeros_like(pred), target, body)
    assert black.eq(0).all() and gain.eq(1).all()


def test_meta_tensors_and_half_precision_are_measured_like_plain_ones() -> None:
    pred, target, body = volumes()
    half = pred.bfloat16()
    wrapped = score(MetaTensor(half), MetaTensor(target), MetaTensor(body.float()))
    for name, values in score(half.float(), target, body).items():
        assert type(wrapped[name]) is Tensor
        torch.testing.assert_close(wrapped[name], values)


@pytest.mark.parametrize("measure", [psnr, ssim, mae, nmse, match_gain])
def test_wrong_input_is_refused(measure) -> None:  # type: ignore[no-untyped-def]
    pred, target, body = volumes()
    with pytest.raises(ValueError, match=r"one shape \(B, 1, D, H, W\)"):
        measure(pred[:, :, :2], target, body)
    with pytest.raises(ValueError, match=r"one shape \(B, 1, D, H, W\)"):
        measure(pred[0], target[0], body[0])
    with pytest.raises(ValueError, match=r"one shape \(B, 1, D, H, W\)"):
        measure(*(volume.expand(-1, 2, -1, -1, -1) for volume in (pred, target, body)))
    body[1] = False
    with pytest.raises(ValueError, match="mask is empty"):
        measure(pred, target, body)
    pred[0, 0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="pred holds values that are not finite"):
        measure(pred[:1], target[:1], body[:1])


def test_ssim_refuses_what_has_no_window() -> None:
    small = torch.rand(1, 1, 2, 10, 30)
    with pytest.raises(ValueError, match="at least 11 x 11"):
        ssim_map(small[0, 0], small[0, 0])
    with pytest.raises(ValueError, match="at least 11 x 11"):
        ssim(small, small, torch.ones_like(small))
    pred, target, body = volumes()
    body[:] = False
    body[..., :4, :] = True
    with pytest.raises(ValueError, match="within 5 pixels of the image border"):
        ssim(pred, target, body)
