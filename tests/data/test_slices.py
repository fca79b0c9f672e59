# SPDX-License-Identifier: Apache-2.0
"""What a step sees is a function of (seed, epoch, index), and both contrasts stay registered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from scripts.data.augmentation import Augmentation, apply_augmentation, draw_augmentation
from scripts.data.slices import PairedSlices
from scripts.transforms.intensity import NormalizeMagnituded

PLAIN = Augmentation(size=(32, 32), zoom=(1, 1), rotation=0, flip=0, shading=0, noise=(1, 1), gain=0)
FULL = Augmentation(size=(24, 24))


def items(count: int = 3, noise: bool = True) -> list[dict[str, Any]]:
    found = []
    for seed in range(count):
        volume = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(seed)) + 0.2
        item: dict[str, Any] = {"image": MetaTensor(volume * 300), "label": MetaTensor(volume.flip(1) * 20)}
        found.append(item | ({"noise": [3.0, 0.4], "matrix": [0.8, 0.9]} if noise else {}))
    return found


def dataset(augmentation: Augmentation = FULL, noise: bool = True, seed: int = 0) -> PairedSlices:
    return PairedSlices(items(noise=noise), NormalizeMagnituded(["image", "label"]), augmentation, samples=8, seed=seed)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


def test_an_index_is_the_same_slice_in_any_order_and_process() -> None:
    one, two = dataset(), dataset()
    two.set_epoch(3)
    _ = two[5]  # what was asked for before must not matter
    one.set_epoch(3)
    assert same(one[2], two[2])


def test_epoch_index_and_seed_each_change_the_slice() -> None:
    data = dataset()
    data.set_epoch(1)
    first = data[0]
    assert not same(first, data[1])
    assert not same(first, dataset(seed=1)[0])
    data.set_epoch(2)
    assert not same(first, data[0])


def test_global_randomness_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    _ = dataset()[0]
    assert torch.equal(before, torch.get_rng_state())


def test_without_augmentation_a_slice_is_the_volumes_own() -> None:
    data = dataset(PLAIN, noise=False)
    sample = data[1]
    which, where = sample["origin"].tolist()
    volume = NormalizeMagnituded(["image", "label"])(items(noise=False)[which])
    for key in ("image", "label"):
        torch.testing.assert_close(sample[key][0], volume[key][0, where].as_tensor(), atol=2e-3, rtol=0)
    assert torch.equal(sample["gain"], torch.ones(2))


def test_geometry_and_shading_are_shared_and_noise_is_not() -> None:
    pair = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1) + 0.2
    drawn = draw_augmentation(replace(FULL, shading=0.9), (40, 40), torch.Generator().manual_seed(1))
    clean, _ = apply_augmentation(drawn, pair, 1, None, None, torch.Generator())
    torch.testing.assert_close(clean[0], clean[1])
    noisy, _ = apply_augmentation(drawn, pair, 1, (0.1, 0.1), (1.0, 1.0), torch.Generator().manual_seed(2))
    assert not torch.allclose(noisy[0], noisy[1], atol=0.02)


def test_noise_has_the_size_of_the_scan_on_the_fixed_scale() -> None:
    data = dataset(replace(PLAIN, size=(32, 32)))
    sample = data[0]
    which, where = sample["origin"].tolist()
    clean = NormalizeMagnituded(["image", "label"])(items()[which])
    error = sample["image"][0] - clean["image"][0, where].as_tensor()
    scale = float(items()[which]["image"].max())
    assert float(error.std()) == pytest.approx(3.0 / scale, rel=0.15)


def test_shading_keeps_the_bright_end_at_one() -> None:
    generator = torch.Generator().manual_seed(0)
    pair = torch.rand(2, 8, 128, 128, generator=generator)
    pair = pair / torch.quantile(pair[0].flatten()[:100000], 0.995)
    strong = replace(PLAIN, shading=1.5, size=(128, 128))
    ends = []
    for seed in range(4):
        drawn = draw_augmentation(strong, (128, 128), torch.Generator().manual_seed(seed))
        slices, _ = apply_augmentation(drawn, pair, 3, None, None, generator)
        ends.append(float(torch.quantile(slices, 0.995)))
    assert ends == pytest.approx([1] * 4, rel=0.06)


def test_pairs_on_different_grids_and_empty_sets_are_refused() -> None:
    broken = items(1)
    broken[0]["label"] = MetaTensor(torch.rand(1, 5, 32, 32))
    data = PairedSlices(broken, NormalizeMagnituded(["image", "label"]), PLAIN, samples=1)
    with pytest.raises(ValueError, match="need one grid"):
        _ = data[0]
    with pytest.raises(ValueError, match="empty"):
        PairedSlices([], lambda item: item, PLAIN, samples=1)
