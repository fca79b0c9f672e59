# SPDX-License-Identifier: Apache-2.0
"""The ranges that the simulator is held against are those that the real scan shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.dicom.index import index_series
from scripts.scorecard.contrast import coil_shading, region_means
from scripts.scorecard.region_sets import shipped_regions
from scripts.simulation.atlas.table import RANGES, REAL_SCAN
from scripts.simulation.atlas.texture import octave_variation
from scripts.transforms.orientation import DisplayOrientation
from scripts.transforms.series import LoadKneeSeries

STRUCTURES = {
    "muscle": ("muscle",),
    "subcutaneous fat": ("subcutaneous_fat",),
    "marrow": ("marrow_femur", "marrow_tibia"),
    "joint fluid": ("fluid",),
    "cartilage": ("cartilage",),
    "meniscus": ("meniscus",),
}
WIDENED = 0.15
LEAST_PIXELS = 120


@pytest.fixture(scope="module")
def measured(real_data: Path) -> dict[str, tuple[float, float]]:
    stacks = index_series([real_data / "pymskt" / "mese_knee_ge3t"])
    (stack,) = (one for one in stacks if one.echo_time is not None and abs(one.echo_time - 0.0252) < 2e-4)
    volume = DisplayOrientation()(LoadKneeSeries()([str(file) for file in stack.files]))[0].numpy()
    (regions,) = shipped_regions()
    even = volume / coil_shading(volume, regions)
    means: dict[str, list[float]] = defaultdict(list)
    textures: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for name, structures in STRUCTURES.items():
        for region in (one for one in regions.regions if one.structure in structures):
            means[name].append(float(region_means(even, [region])[0]))
            mask = region.mask(*even.shape[1:])
            if mask.sum() > LEAST_PIXELS:
                textures[name].append(octave_variation(torch.from_numpy(even[region.slice]), torch.from_numpy(mask)))
    muscle = float(np.mean(means["muscle"]))
    found = {
        f"PD: {name} / muscle": ((1 - WIDENED) * min(values) / muscle, (1 + WIDENED) * max(values) / muscle)
        for name, values in means.items()
    }
    for name, variations in textures.items():
        for octave, values in enumerate(zip(*variations, strict=True), 1):
            found[f"PD texture, {name}, octave {octave}"] = (min(values), max(values))
    return found


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "low", "high"), [row[:3] for row in RANGES if row[3] == REAL_SCAN])
def test_a_range_is_what_the_real_scan_shows(
    measured: dict[str, tuple[float, float]], name: str, low: float, high: float
) -> None:
    # To the digits that the table gives.
    near: Callable[[float], object] = lambda value: pytest.approx(value, rel=0.02, abs=6e-4)  # noqa: E731
    assert measured[name] == (near(low), near(high))
