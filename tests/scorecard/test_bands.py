# SPDX-License-Identifier: Apache-2.0
"""The bands of real fat-suppressed knees: their arithmetic, and that the constants are what the slices show."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from scripts.scorecard import bands
from scripts.scorecard.region_sets import SHIPPED, Region, RegionSet, read_regions


@pytest.mark.parametrize("count", [8, 16, 23])
def test_the_interval_is_that_of_students_t(count: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.exp(np.random.default_rng(count).normal(-0.6, 0.2, count))
    logs = np.log(values)
    half = stats.t.ppf(0.975, count - 1) * logs.std(ddof=1) * math.sqrt(1 + 1 / count)
    expected = (math.exp(logs.mean() - half), math.exp(logs.mean() + half))
    assert bands.prediction_interval(values) == pytest.approx(expected, rel=0.01)


def test_noise_of_many_coils_is_taken_out() -> None:
    """Root sum of squares of 8 coils with complex noise of standard deviation 1 per channel."""
    rng = np.random.default_rng(0)
    signal = np.zeros((1, 60, 200))
    truth = {"muscle": 12.0, "subcutaneous_fat": 6.0, "marrow_femur": 3.0}
    regions = [Region("air", 0, "box", (0, 150, 59, 199))]
    for number, (name, value) in enumerate(truth.items()):
        signal[:, :, 50 * number : 50 * number + 50] = value
        regions.append(Region(name, 0, "box", (0, 50.0 * number, 59, 50.0 * number + 49), "here"))
    coils = signal / math.sqrt(8) + rng.normal(size=(8, *signal.shape)) + 1j * rng.normal(size=(8, *signal.shape))
    magnitude = np.sqrt((np.abs(coils) ** 2).sum(axis=0))
    found = bands.pair_ratios(magnitude, RegionSet("", (1, 60, 200), tuple(regions)))
    assert found["fat"] == pytest.approx([0.5], abs=0.02)
    assert found["marrow"] == pytest.approx([0.25], abs=0.02)
    assert magnitude[0, :, 100:150].mean() / magnitude[0, :, :50].mean() > 0.35  # without the correction


@pytest.mark.real_data
def test_the_constants_are_what_the_eight_slices_show(real_data: Path) -> None:
    import torch

    from scripts.body import body_scale

    path = real_data / "stanford_pdfs_axial" / "slices.npz"
    if not path.is_file():
        pytest.skip("the eight real fat-suppressed slices are not among the real scans")
    magnitude = np.abs(np.load(path)["image"]).astype(np.float32)
    regions = read_regions(SHIPPED / "pdfs_axial.json")
    pairs = bands.pair_ratios(magnitude, regions)
    assert {name: len(values) for name, values in pairs.items()} == {"fat": 23, "marrow": 16}
    for name, stated in (("fat", bands.FAT_TO_MUSCLE), ("marrow", bands.MARROW_TO_MUSCLE)):
        low, high = bands.measure_bands(magnitude, regions)[name]
        assert stated == (math.floor(100 * low) / 100, math.ceil(100 * high) / 100)
        assert stated[0] < min(pairs[name]) and max(pairs[name]) < stated[1]
    air = []
    for number, image in enumerate(magnitude):
        places = [region for region in regions.of("air") if region.slice == number]
        values = np.concatenate([image[region.mask(*image.shape)] for region in places])
        air.append(float(np.quantile(values, 0.99)) / body_scale(torch.from_numpy(image)))
    assert math.ceil(100 * max(air)) / 100 == bands.AIR
