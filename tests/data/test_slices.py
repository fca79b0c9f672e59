# SPDX-License-Identifier: Apache-2.0
"""What a step sees is a function of (seed, epoch, index), and both contrasts stay registered."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from torch.utils.data import DataLoader

from scripts.data.augmentation import Augmentation, apply_augmentation, draw_augmentation
from scripts.data.pairs import simulated_pairs
from scripts.data.slices import PairedSlices, RandomSlices, SimulatedSlices
from scripts.data.training import training_slices
from scripts.transforms.intensity import NormalizeMagnituded

PLAIN = Augmentation(size=(32, 32), zoom=(1, 1), rotation=0, flip=0, shading=0, gain=0)
FULL = Augmentation(size=(24, 24))


def items(count: int = 3) -> list[dict[str, Any]]:
    found = []
    for seed in range(count):
        volume = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(seed)) + 0.2
        found.append({"image": MetaTensor(volume * 300), "label": MetaTensor(volume.flip(1) * 20)})
    return found


def acquired(augmentation: Augmentation = FULL, seed: int = 0) -> PairedSlices:
    return PairedSlices(items(), NormalizeMagnituded(["image", "label"]), augmentation, samples=8, seed=seed)


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    cache = str(tmp_path_factory.mktemp("cohort"))
    return [simulated_pairs(cache, "training", 1, seed, shape=(3, 48, 48), preset="randomised")[0] for seed in range(2)]


@pytest.fixture(params=["acquired", "simulated"])
def dataset(request: pytest.FixtureRequest) -> Callable[..., RandomSlices]:
    if request.param == "acquired":
        return acquired
    found = request.getfixturevalue("maps")
    return lambda augmentation=FULL, seed=0: SimulatedSlices(found, augmentation, samples=8, seed=seed)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


def test_an_index_is_the_same_slice_in_any_order_and_company(dataset: Callable[..., RandomSlices]) -> None:
    one, two = dataset(), dataset()
    two.set_epoch(3)
    _ = two[5]  # what was asked for before must not matter
    one.set_epoch(3)
    assert same(one[2], two[2])
    assert same(two.__getitems__([6, 2, 0])[1], one[2])


def test_epoch_index_and_seed_each_change_the_slice(dataset: Callable[..., RandomSlices]) -> None:
    data = dataset()
    data.set_epoch(1)
    first = data[0]
    assert not same(first, data[1])
    assert not same(first, dataset(seed=1)[0])
    data.set_epoch(2)
    assert not same(first, data[0])


def test_global_randomness_is_left_alone(dataset: Callable[..., RandomSlices]) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    _ = dataset()[0]
    assert torch.equal(before, torch.get_rng_state())


def test_an_item_holds_what_a_step_needs(dataset: Callable[..., RandomSlices]) -> None:
    batch = next(iter(DataLoader(dataset(), batch_size=4)))
    assert batch["image"].shape == batch["label"].shape == (4, 1, 24, 24)
    assert batch["image"].dtype == batch["label"].dtype == torch.float32
    assert batch["gain"].shape == batch["origin"].shape == (4, 2)
    assert bool(torch.isfinite(batch["image"]).all()) and float(batch["image"].min()) >= 0
    assert float((batch["gain"] - 1).abs().max()) <= 0.08
    with pytest.raises(IndexError):
        _ = dataset()[8]


def test_a_worker_process_makes_the_same_slices(dataset: Callable[..., RandomSlices]) -> None:
    data = dataset()
    data.set_epoch(2)
    _ = data[0]
    assert same(pickle.loads(pickle.dumps(data))[3], data[3])


def test_the_kind_of_data_decides_what_is_cut(maps: list[dict[str, Any]]) -> None:
    normalise = NormalizeMagnituded(["image", "label"])
    assert isinstance(training_slices(maps, normalise, FULL, 8), SimulatedSlices)
    assert isinstance(training_slices(items(), normalise, FULL, 8), PairedSlices)


def test_simulated_slices_are_scanned_anew_each_time(maps: list[dict[str, Any]]) -> None:
    data = SimulatedSlices(maps[:1], replace(PLAIN, size=(40, 40)), samples=40)
    by_slice: dict[int, list[torch.Tensor]] = {}
    for index in range(12):
        sample = data[index]
        by_slice.setdefault(int(sample["origin"][1]), []).append(sample["label"])
    several = next(found for found in by_slice.values() if len(found) > 1)
    assert float((several[0] - several[1]).abs().mean()) > 0.05  # the same slice, another contrast and noise


def test_simulated_slices_tell_where_their_lesions_are(maps: list[dict[str, Any]], tmp_path: Path) -> None:
    content = torch.load(maps[0]["maps"], weights_only=True)
    marked = torch.zeros_like(content["lesion"])
    marked[:, 10:20, 5:9] = 255
    where = tmp_path / "maps.pt"
    torch.save(content | {"lesion": marked}, where)
    sample = SimulatedSlices([maps[0] | {"maps": str(where)}], replace(PLAIN, size=(48, 48)), samples=1)[0]
    torch.testing.assert_close(sample["lesion"][0], marked[0].float() / 255, atol=1e-4, rtol=0)
    torch.save({name: value for name, value in content.items() if name != "lesion"}, where)
    sample = SimulatedSlices([maps[0] | {"maps": str(where)}], replace(PLAIN, size=(48, 48)), samples=1)[0]
    assert float(sample["lesion"].max()) == 0  # a cache of an earlier version


def test_slices_with_lesions_are_drawn_as_often_as_asked(maps: list[dict[str, Any]], tmp_path: Path) -> None:
    content = torch.load(maps[0]["maps"], weights_only=True)
    marked = torch.zeros_like(content["lesion"])
    marked[0, 10:20, 5:9] = 255
    where = tmp_path / "maps.pt"
    torch.save(content | {"lesion": marked}, where)
    data = [maps[0] | {"maps": str(where)}]

    def share(asked: float) -> float:
        slices = SimulatedSlices(data, replace(PLAIN, size=(16, 16)), samples=40, lesion_slices=asked)
        return sum(int(slices[index]["origin"][1]) == 0 for index in range(40)) / 40

    few, half, all_of_them = share(0.0), share(0.6), share(1.0)
    assert few < half < all_of_them == 1
    torch.save(content | {"lesion": torch.zeros_like(marked)}, where)
    assert share(1.0) < half  # a knee without lesions is shown as any other
    with pytest.raises(ValueError, match=r"lesion_slices is 1\.5; need the share"):
        share(1.5)


def test_a_cut_file_of_maps_is_not_read_in_silence(maps: list[dict[str, Any]], tmp_path: Path) -> None:
    broken = tmp_path / "maps.pt"
    broken.write_bytes(Path(maps[0]["maps"]).read_bytes()[:-500])
    with pytest.raises(RuntimeError):
        _ = SimulatedSlices([maps[0] | {"maps": str(broken)}], FULL, samples=1)[0]


def test_without_augmentation_a_slice_is_the_volumes_own() -> None:
    sample = acquired(PLAIN)[1]
    which, where = sample["origin"].tolist()
    volume = NormalizeMagnituded(["image", "label"])(items()[which])
    for key in ("image", "label"):
        torch.testing.assert_close(sample[key][0], volume[key][0, where].as_tensor(), atol=2e-3, rtol=0)
    assert torch.equal(sample["gain"], torch.ones(2))


@pytest.mark.parametrize("noisy_targets", [False, True])
def test_the_noise_floor_is_taken_from_targets_alone(noisy_targets: bool) -> None:
    row, column = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    disc = ((row - 48).square() + (column - 48).square()).sqrt() < 30
    noise = torch.randn(2, 1, 4, 96, 96, generator=torch.Generator().manual_seed(0)) * 0.08
    noisy = ((disc + noise[0]).square() + noise[1].square()).sqrt()
    pair = {"image": MetaTensor(noisy * 300), "label": MetaTensor(noisy.flip(1) * 20)}
    normalise = NormalizeMagnituded(["image", "label"])
    plain = replace(PLAIN, size=(96, 96))
    sample = PairedSlices([pair], normalise, plain, samples=1, noisy_targets=noisy_targets)[0]
    targets = {key: sample[key][0][~disc].mean() for key in ("image", "label")}
    if noisy_targets:
        assert all(mean > 0.05 for mean in targets.values()) and "image_input" not in sample
    else:
        assert all(abs(mean) < 0.03 for mean in targets.values())
        assert all(sample[f"{key}_input"][0][~disc].mean() > 0.05 for key in targets)  # what the network will be given


def test_pairs_with_and_without_a_floor_make_one_batch() -> None:
    silent, noisy = items(2)
    noisy["image"] = MetaTensor(noisy["image"] * torch.linspace(0, 1, 32))
    data = PairedSlices([silent, noisy], NormalizeMagnituded(["image", "label"]), PLAIN, samples=8)
    batch = next(iter(DataLoader(data, batch_size=8)))
    assert set(batch["origin"][:, 0].tolist()) == {0, 1} and batch["image_input"].shape == batch["image"].shape


def test_geometry_and_shading_are_shared() -> None:
    pair = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1) + 0.2
    drawn = draw_augmentation(replace(FULL, shading=0.9), (40, 40), torch.Generator().manual_seed(1))
    slices = apply_augmentation(drawn, pair[:, 1], pair[:, :, ::8, ::8])
    torch.testing.assert_close(slices[0], slices[1])


def test_shading_keeps_the_bright_end_at_one() -> None:
    generator = torch.Generator().manual_seed(0)
    pair = torch.rand(2, 8, 128, 128, generator=generator)
    pair = pair / torch.quantile(pair[0].flatten()[:100000], 0.995)
    strong = replace(PLAIN, shading=1.5, size=(128, 128))
    ends = []
    for seed in range(4):
        drawn = draw_augmentation(strong, (128, 128), torch.Generator().manual_seed(seed))
        ends.append(float(torch.quantile(apply_augmentation(drawn, pair[:, 3], pair[:, :, ::8, ::8]), 0.995)))
    assert ends == pytest.approx([1] * 4, rel=0.06)


def test_pairs_on_different_grids_and_empty_sets_are_refused() -> None:
    broken = items(1)
    broken[0]["label"] = MetaTensor(torch.rand(1, 5, 32, 32))
    data = PairedSlices(broken, NormalizeMagnituded(["image", "label"]), PLAIN, samples=1)
    with pytest.raises(ValueError, match="need one grid"):
        _ = data[0]
    with pytest.raises(ValueError, match="empty"):
        training_slices([], lambda item: item, PLAIN, samples=1)


def test_the_gain_is_the_inputs_alone_and_shading_the_places() -> None:
    quiet, loud = acquired(replace(FULL, gain=0.0)), acquired(replace(FULL, gain=0.5))
    for index in range(8):
        one, other = quiet[index], loud[index]
        assert torch.equal(one["image"], other["image"]) and torch.equal(one["label"], other["label"])  # targets
        assert torch.equal(one["gain"], torch.ones(2)) and not torch.equal(other["gain"], torch.ones(2))
        assert float(other["gain"][0]) != float(other["gain"][1])  # each contrast draws its own


def test_both_contrasts_get_the_same_shading() -> None:
    generator = torch.Generator().manual_seed(3)
    pair = torch.rand(2, 5, 64, 64, generator=generator) * 0.2 + 0.6
    straight = replace(PLAIN, size=(64, 64), shading=1.0)
    drawn = draw_augmentation(straight, (64, 64), torch.Generator().manual_seed(1))
    factor = apply_augmentation(drawn, pair[:, 2], pair[:, :, ::8, ::8]) / pair[:, 2]
    assert float(factor[0].max() / factor[0].min()) > 1.2  # there is shading
    ratio = factor[0] / factor[1]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-4, atol=1e-4)  # but for one scale
