# SPDX-License-Identifier: Apache-2.0
"""The promise of hierarchical conformal prediction, on patients that are exchangeable and differ from each other."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.intervals.hierarchical import hierarchical_quantile, least_patients

PIXELS = 400


def draw(patients: int, generator: torch.Generator) -> torch.Tensor:
    """Scores ``(patients, PIXELS)``: each patient has a spread of its own, so that pixels are not independent."""
    own = torch.exp(0.6 * torch.randn(patients, 1, generator=generator))
    return own * torch.randn(patients, PIXELS, generator=generator).abs()


def quantile(scores: torch.Tensor, level: float) -> float:
    return hierarchical_quantile(scores.flatten(), torch.full((scores.numel(),), 1 / PIXELS), len(scores), level)


def mean_coverage(patients: int, level: float, repeats: int = 300) -> float:
    generator = torch.Generator().manual_seed(patients)
    covered = []
    for _ in range(repeats):
        bound = quantile(draw(patients, generator), level)
        covered.append(float((draw(1, generator) <= bound).float().mean()))
    return sum(covered) / repeats


@pytest.mark.parametrize(("patients", "level"), [(12, 0.9), (40, 0.9), (20, 0.5)])
def test_a_new_patients_pixels_are_covered_as_promised_and_hardly_more(patients: int, level: float) -> None:
    scatter = 3 * 0.5 * 0.25 / math.sqrt(300) + 0.03  # of the mean of as many new patients
    found = mean_coverage(patients, level)
    assert level - scatter <= found <= level + (1 - level + level) / (patients + 1) + scatter


def test_few_pixels_of_a_patient_weigh_as_much_as_many() -> None:
    scores = torch.cat((torch.full((15,), 1.0), torch.full((5000,), 3.0)))  # 15 patients with a pixel, 5 with 1000
    weights = torch.cat((torch.ones(15), torch.full((5000,), 1e-3)))
    assert hierarchical_quantile(scores, weights, 20, 0.7) == 1.0
    assert hierarchical_quantile(scores, weights, 20, 0.75) == 3.0


def test_too_few_patients_promise_nothing() -> None:
    assert least_patients(0.9) == 9
    assert math.isinf(hierarchical_quantile(torch.ones(8), torch.ones(8), 8, 0.9))
    assert hierarchical_quantile(torch.ones(9), torch.ones(9), 9, 0.9) == 1.0
    assert math.isinf(hierarchical_quantile(torch.ones(0), torch.ones(0), 0, 0.9))


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5])
def test_a_level_that_is_no_share_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        hierarchical_quantile(torch.ones(20), torch.ones(20), 20, level)
