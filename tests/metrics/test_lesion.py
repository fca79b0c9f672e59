# SPDX-License-Identifier: Apache-2.0
"""Contrast that is kept, halved, lost or invented is told apart, and the interval is over patients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scripts.metrics.lesion import LesionContrast, compare_lesion, contrast_recovery, lesion_contrast

SHAPE = (3, 20, 20)


@pytest.fixture
def knee() -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def lesion() -> Tensor:
    share = torch.zeros(SHAPE)
    share[1, 5:10, 5:10] = 1
    share[1, 10, 5:10] = 0.5
    return share


def lesions(
    slope: float, intercept: float, patients: int = 20, error: float = 0.0, each: int = 2
) -> list[LesionContrast]:
    generator = torch.Generator().manual_seed(3)
    found = []
    for patient in range(patients):
        own = float(torch.randn(1, generator=generator)) * error
        for _ in range(each):
            true = float(torch.rand(1, generator=generator)) - 0.2
            found.append(LesionContrast(str(patient), true, intercept + (slope + own) * true, 5.0))
    return found


def test_the_contrast_is_what_the_lesion_added(knee: Tensor, lesion: Tensor) -> None:
    full = lesion > 0
    assert lesion_contrast((knee + 0.3 * full, knee), lesion) == pytest.approx(0.3, rel=1e-5)
    assert lesion_contrast((knee - 0.1 * full, knee), full) == pytest.approx(-0.1, rel=1e-5)
    elsewhere = torch.where(full, knee, knee + 9)
    assert lesion_contrast((elsewhere, knee), lesion) == 0
    # Half a voxel of lesion shows half its signal, and counts half.
    partial = lesion_contrast((knee + 0.3 * lesion, knee), lesion)
    assert partial == pytest.approx(0.3 * (25 + 5 / 4) / (25 + 5 / 2), rel=1e-5)


def test_a_lesion_is_visible_from_three_times_the_noise(knee: Tensor, lesion: Tensor) -> None:
    mask = lesion > 0
    target, prediction = (knee + 0.4 * mask, knee), (knee + 0.3 * mask, knee)
    for contrast, visible in ((0.06, False), (0.0901, True), (-0.12, True)):
        found = compare_lesion("one", prediction, target, (knee + contrast * mask, knee), mask, sigma=0.03)
        assert found.visibility == pytest.approx(abs(contrast) / 0.03, rel=1e-4)
        assert found.is_visible is visible
        assert (found.true, found.predicted) == pytest.approx((0.4, 0.3), rel=1e-5)


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.5, 0), (0, 0.1), (0.8, -0.05)])
def test_an_exact_line_is_recovered_without_doubt(slope: float, intercept: float) -> None:
    found = contrast_recovery(lesions(slope, intercept), resamples=200)
    for estimate, expected in ((found.slope, slope), (found.intercept, intercept)):
        assert (estimate.mean, estimate.low, estimate.high) == pytest.approx([expected] * 3, abs=1e-6)
    assert (found.lesions, found.patients) == (40, 20)


def test_the_interval_holds_the_truth_as_often_as_it_says_and_does_not_shrink_by_copies() -> None:
    held = 0
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        sample = []
        for patient in range(30):
            own = 0.8 + 0.2 * float(torch.randn(1, generator=generator))
            for true in torch.rand(2, generator=generator).tolist():
                sample.append(LesionContrast(str(patient), true, own * true, 5.0))
        slope = contrast_recovery(sample, resamples=300).slope
        held += slope.low <= 0.8 <= slope.high
    assert 49 <= held <= 60
    once, thrice = (contrast_recovery(list(sample) * times, resamples=300).slope for times in (1, 3))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_the_fit_is_that_of_least_squares() -> None:
    sample = lesions(0.7, 0.1, error=0.3)
    x = torch.tensor([[1, lesion.true] for lesion in sample], dtype=torch.float64)
    y = torch.tensor([[lesion.predicted] for lesion in sample], dtype=torch.float64)
    intercept, slope = torch.linalg.lstsq(x, y).solution.flatten().tolist()
    found = contrast_recovery(sample, resamples=100)
    assert (found.slope.mean, found.intercept.mean) == pytest.approx((slope, intercept))
    assert found.slope.low < slope < found.slope.high


def test_one_patient_has_no_interval_and_one_contrast_no_slope(knee: Tensor, lesion: Tensor) -> None:
    found = contrast_recovery(lesions(1, 0, patients=1), resamples=100)
    assert found.slope.mean == pytest.approx(1) and math.isnan(found.slope.low)
    with pytest.raises(ValueError, match="no slope"):
        contrast_recovery([LesionContrast("a", 0.3, 0.2, 5), LesionContrast("b", 0.3, 0.1, 5)])
    with pytest.raises(ValueError, match="lesion somewhere"):
        lesion_contrast((knee, knee), torch.zeros(SHAPE))
    with pytest.raises(ValueError, match="sigma is 0"):
        compare_lesion("a", (knee, knee), (knee, knee), (knee, knee), lesion, 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        contrast_recovery(lesions(1, 0), level=1)
