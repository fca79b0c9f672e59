# SPDX-License-Identifier: Apache-2.0
"""The observer reaches the detectability that theory gives it, and no flattery from its own training."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scripts.metrics.observer import (
    DENSE,
    SPARSE,
    Detectability,
    DogChannels,
    detectability,
    ideal_detectability,
    lesion_patch,
)

SIDE = 32


def disc(contrast: float, width: float = 3.0) -> Tensor:
    place = torch.arange(SIDE, dtype=torch.float64) - SIDE // 2
    return contrast * torch.exp(-(place[:, None] ** 2 + place**2) / (2 * width**2))


def judged(signal: Tensor, count: int, seed: int, channels: DogChannels = SPARSE) -> Detectability:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((2, count, SIDE, SIDE), generator=generator, dtype=torch.float64)
    return detectability(noise[0] + signal, noise[1], [str(number) for number in range(count)], channels)


@pytest.mark.parametrize("channels", [SPARSE, DENSE], ids=["sparse", "dense"])
@pytest.mark.parametrize("contrast", [0.2, 0.5])
def test_a_known_signal_in_white_noise_has_the_analytic_detectability(contrast: float, channels: DogChannels) -> None:
    signal = disc(contrast)
    truth = ideal_detectability(signal, 1.0, channels)
    found = judged(signal, 500, 1, channels)
    assert found.held_out == pytest.approx(truth, abs=0.25)
    assert found.resubstituted == pytest.approx(truth, abs=0.25)
    # Equal normal scores: AUC = Phi(d' / sqrt(2)).
    assert found.held_out_auc == pytest.approx((1 + math.erf(truth / 2)) / 2, abs=0.04)


def test_channels_lose_little_of_a_round_signal_and_never_gain() -> None:
    signal = disc(0.4)
    best = float(signal.norm())
    for channels in (SPARSE, DENSE):
        assert 0.9 * best < ideal_detectability(signal, 1.0, channels) < best
    assert ideal_detectability(signal, 2.0) == pytest.approx(ideal_detectability(signal, 1.0) / 2)


def test_the_truth_lies_between_the_two_estimates_on_average() -> None:
    signal, runs = disc(0.3), [judged(disc(0.3), 20, seed) for seed in range(40)]
    truth = ideal_detectability(signal, 1.0)
    held_out, resubstituted = (
        sum(getattr(run, name) for run in runs) / len(runs) for name in ("held_out", "resubstituted")
    )
    assert held_out < truth < resubstituted
    assert held_out > 0.75 * truth


def test_where_there_is_no_lesion_only_training_finds_one() -> None:
    runs = [judged(disc(0), 20, seed) for seed in range(60)]
    assert sum(run.resubstituted for run in runs) / 60 > 0.4
    assert abs(sum(run.held_out for run in runs) / 60) < 0.15
    assert sum(run.held_out_auc for run in runs) / 60 == pytest.approx(0.5, abs=0.04)


def test_gain_and_offset_are_not_seen() -> None:
    noise = torch.randn((2, 30, SIDE, SIDE), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    present, absent, keys = noise[0] + disc(0.4), noise[1], [str(number) for number in range(30)]
    plain, changed = detectability(present, absent, keys), detectability(7 * present + 3, 7 * absent + 3, keys)
    assert changed.held_out == pytest.approx(plain.held_out, rel=1e-6)
    assert detectability(present, absent + 100, keys).held_out == pytest.approx(plain.held_out, rel=1e-6)


def test_patches_of_one_patient_are_held_out_together() -> None:
    generator = torch.Generator().manual_seed(4)
    present, absent = torch.randn((2, 12, SIDE, SIDE), generator=generator, dtype=torch.float64)
    keys = [str(number) for number in range(12)]
    copies = detectability(present.repeat(3, 1, 1), absent.repeat(3, 1, 1), keys * 3)
    apart = detectability(present.repeat(3, 1, 1), absent.repeat(3, 1, 1), [str(number) for number in range(36)])
    assert copies.patients == 12
    assert copies.held_out < apart.held_out  # who knows a copy of what it judges is flattered


def test_a_patch_is_cut_around_the_lesion_where_most_of_it_lies() -> None:
    volume = torch.arange(3 * 40 * 50, dtype=torch.float32).reshape(3, 40, 50)
    lesion = torch.zeros_like(volume)
    lesion[0, 3:5, 3:5], lesion[2, 18:23, 28:33] = 1, 1
    patch = lesion_patch(volume, lesion, 8)
    assert patch.equal(volume[2, 16:24, 26:34].double())
    at_border = lesion_patch(volume[:1], lesion[:1], 16)
    assert at_border.equal(volume[0, :16, :16].double())
    with pytest.raises(ValueError, match="needs a lesion"):
        lesion_patch(volume, 0 * lesion, 8)
    with pytest.raises(ValueError, match="slices of its size"):
        lesion_patch(volume, lesion, 41)


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        judged(disc(1), 4, 0)
    patches = torch.randn(30, SIDE, SIDE)
    with pytest.raises(ValueError, match="too few"):
        detectability(patches, patches, ["a", "b"] * 15)
    with pytest.raises(ValueError, match="twice"):
        detectability(patches, patches[:, :8], [str(number) for number in range(30)])
