# SPDX-License-Identifier: Apache-2.0
"""Tissues of known brightness have known ratios, contrasts and errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scripts.metrics.tissue import (
    contrasts_to_noise,
    relative_signals,
    signal_errors,
    suppression_ratio,
    tissue_masks,
    tissue_means,
    variations,
)

LABELS = torch.arange(5).repeat_interleave(12).expand(2, 6, 60)
NAMES = {"muscle": [1], "fat": [2, 3], "fluid": [4], "cyst": [9]}
PD = torch.tensor([0.0, 0.3, 0.9, 0.9, 0.6])[LABELS]
PDFS = torch.tensor([0.0, 0.6, 0.2, 0.4, 1.8])[LABELS]


@pytest.fixture
def masks() -> dict[str, Tensor]:
    return tissue_masks(LABELS, NAMES)


def test_a_label_map_becomes_masks_by_name(masks: dict[str, Tensor]) -> None:
    assert list(masks) == list(NAMES)
    assert masks["fat"].equal((LABELS == 2) | (LABELS == 3))
    assert not masks["cyst"].any()


def test_means_and_ratios_are_the_known_ones_and_an_absent_tissue_has_none(masks: dict[str, Tensor]) -> None:
    assert tissue_means(PD, masks) == pytest.approx({"muscle": 0.3, "fat": 0.9, "fluid": 0.6})
    for gain in (1, 40):
        assert relative_signals(gain * PD, masks, "muscle") == pytest.approx({"muscle": 1, "fat": 3, "fluid": 2})
    assert tissue_means(PD[None], {"fat": masks["fat"][None]}) == pytest.approx({"fat": 0.9})


def test_the_suppression_ratio_is_free_of_both_gains(masks: dict[str, Tensor]) -> None:
    expected = (0.3 / 0.6) / (0.9 / 0.3)
    assert suppression_ratio(PDFS, PD, masks, "fat", "muscle") == pytest.approx(expected)
    assert suppression_ratio(7 * PDFS, 0.1 * PD, masks, "fat", "muscle") == pytest.approx(expected)
    assert suppression_ratio(PD, PD, masks, "fat", "muscle") == pytest.approx(1)
    dark = torch.where(masks["fat"], 0, PDFS)
    assert suppression_ratio(dark, PD, masks, "fat", "muscle") == 0


def test_contrast_to_noise_has_the_sign_of_the_brighter(masks: dict[str, Tensor]) -> None:
    pairs = [("fat", "fluid"), ("fluid", "fat"), ("fat", "cyst")]
    found = contrasts_to_noise(PD, masks, pairs, sigma=0.1)
    assert found == pytest.approx({("fat", "fluid"): 3, ("fluid", "fat"): -3})
    scaled = contrasts_to_noise(5 * PD, masks, pairs, sigma=0.5)
    assert scaled == pytest.approx(found)


def test_a_tissue_too_bright_has_its_error_and_the_others_none(masks: dict[str, Tensor]) -> None:
    prediction = torch.where(masks["fat"], 1.2 * PDFS, PDFS)
    assert signal_errors(prediction, PDFS, masks) == pytest.approx({"muscle": 0, "fat": 0.2, "fluid": 0}, abs=1e-6)
    assert math.isnan(signal_errors(PD, 0 * PD, masks)["fat"])


def test_variation_is_the_spread_over_the_mean_and_blind_to_gain(masks: dict[str, Tensor]) -> None:
    grain = torch.randn(LABELS.shape, generator=torch.Generator().manual_seed(0))
    for gain in (1, 30):
        found = variations(gain * (PD + 0.03 * grain), masks)
        assert found["muscle"] == pytest.approx(0.1, rel=0.2)
        assert found["fat"] == pytest.approx(0.03 / 0.9, rel=0.2)
    assert variations(PD, masks)["muscle"] == pytest.approx(0, abs=1e-6)
    single = torch.zeros_like(masks["fat"])
    single[0, 0, 30] = True
    assert math.isnan(variations(PD, {"fat": single})["fat"])


def test_wrong_input_is_refused(masks: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="'cyst' has no voxel"):
        relative_signals(PD, masks, "cyst")
    with pytest.raises(ValueError, match="'tendon' has no voxel"):
        suppression_ratio(PDFS, PD, masks, "tendon", "muscle")
    with pytest.raises(ValueError, match="need signal"):
        relative_signals(0 * PD, masks, "muscle")
    with pytest.raises(ValueError, match="no mask for tendon"):
        contrasts_to_noise(PD, masks, [("fat", "tendon")], 0.1)
    with pytest.raises(ValueError, match="sigma is 0"):
        contrasts_to_noise(PD, masks, [("fat", "fluid")], 0)
    with pytest.raises(ValueError, match="fat has shape"):
        tissue_means(PD, {"fat": masks["fat"][:1]})
