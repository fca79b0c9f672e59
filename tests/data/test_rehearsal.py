# SPDX-License-Identifier: Apache-2.0
"""Simulated slices among acquired ones: as many as asked, in one batch, a function of (seed, epoch, index)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor
from torch.utils.data import DataLoader

from scripts.data.augmentation import Augmentation
from scripts.data.pairs import simulated_pairs
from scripts.data.rehearsal import RehearsedSlices
from scripts.data.slices import PairedSlices, SimulatedSlices
from scripts.data.training import training_slices
from scripts.errors import UsageError
from scripts.transforms.intensity import NormalizeMagnituded

CROP = Augmentation(size=(24, 24))
SAMPLES = 60


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSlices:
    cache = str(tmp_path_factory.mktemp("cohort"))
    items = simulated_pairs(cache, "training", 2, shape=(2, 48, 48), preset="randomised")
    return SimulatedSlices(items, CROP, SAMPLES)


def acquired(noisy_targets: bool = False) -> PairedSlices:
    volume = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(3)) + 0.2
    items = [{"image": MetaTensor(volume * 300), "label": MetaTensor(volume.flip(1) * 20)}]
    return PairedSlices(items, NormalizeMagnituded(["image", "label"]), CROP, SAMPLES, noisy_targets=noisy_targets)


def is_simulated(item: dict[str, torch.Tensor], simulated: SimulatedSlices, index: int) -> bool:
    return bool(torch.equal(item["image"], simulated[index]["image"]))


def test_as_many_simulated_slices_as_asked(simulated: SimulatedSlices) -> None:
    pairs = acquired()
    for share, (least, most) in {0.0: (0, 0), 0.3: (8, 28), 1.0: (SAMPLES, SAMPLES)}.items():
        data = RehearsedSlices(pairs, simulated, share)
        data.set_epoch(1)
        found = [is_simulated(data[index], simulated, index) for index in range(SAMPLES)]
        assert least <= sum(found) <= most, share
        for index, from_simulator in enumerate(found):
            if not from_simulator:
                torch.testing.assert_close(data[index]["image"], pairs[index]["image"])


@pytest.mark.parametrize("noisy_targets", [False, True])
def test_both_kinds_fit_into_one_batch(simulated: SimulatedSlices, noisy_targets: bool) -> None:
    data = RehearsedSlices(acquired(noisy_targets), simulated, 0.5)
    data.set_epoch(2)
    batch = next(iter(DataLoader(data, batch_size=16)))
    assert set(batch) == {"image", "label", "image_input", "label_input", "lesion", "gain", "origin"}
    assert batch["image_input"].shape == batch["lesion"].shape == (16, 1, 24, 24)
    again = RehearsedSlices(acquired(noisy_targets), simulated, 0.5)
    again.set_epoch(2)
    torch.testing.assert_close(again[5]["label"], batch["label"][5])


def test_epochs_differ_and_a_share_beyond_one_is_refused(simulated: SimulatedSlices) -> None:
    data = RehearsedSlices(acquired(), simulated, 0.5)
    kinds = []
    for epoch in (1, 2):
        data.set_epoch(epoch)
        kinds.append([is_simulated(data[index], simulated, index) for index in range(20)])
    assert kinds[0] != kinds[1]
    with pytest.raises(ValueError, match=r"rehearsal is 1\.2; need the share"):
        RehearsedSlices(acquired(), simulated, 1.2)


def test_the_run_asks_for_it_by_its_share(tmp_path: Path) -> None:
    volume = torch.rand(1, 4, 32, 32) + 0.2
    items = [{"image": MetaTensor(volume * 300), "label": MetaTensor(volume * 20)}]
    normalise = NormalizeMagnituded(["image", "label"])
    knees = {"cache_dir": str(tmp_path), "studies": {"training": 1}, "shape": [2, 48, 48]}
    made = training_slices(items, normalise, CROP, 8, rehearsal=0.25, simulated=knees)
    assert isinstance(made, RehearsedSlices) and len(made) == 8
    assert isinstance(training_slices(items, normalise, CROP, 8, simulated=knees), PairedSlices)
    with pytest.raises(UsageError, match="name simulated"):
        training_slices(items, normalise, CROP, 8, rehearsal=0.25)
