# SPDX-License-Identifier: Apache-2.0
"""A knee made of boxes whose truth is known, and freshly initialised weights of the shipped network."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scripts.scorecard.region_sets import Region, RegionSet

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (12, 96, 96)
PD = {"muscle": 0.3, "subcutaneous_fat": 1.0, "marrow_femur": 0.9, "cartilage": 0.36, "fluid": 0.7, "meniscus": 0.03}
"""Brightness without suppression."""
PDFS = {**PD, "subcutaneous_fat": 0.15, "marrow_femur": 0.1}
"""The same behind suppression: what a right synthesis shows."""


@dataclass(frozen=True)
class Knee:
    """Columns of tissue side by side in every slice, air around them."""

    regions: RegionSet

    def paint(self, brightness: dict[str, float]) -> np.ndarray:
        """The volume in which each region's column has its tissue's brightness."""
        volume = np.zeros(SHAPE, dtype=np.float32)
        volume[:, 12:84, 12:84] = brightness["muscle"]
        for region in self.regions.regions:
            if region.structure != "air":
                volume[region.slice][region.mask(*SHAPE[1:])] = brightness[region.structure]
        return volume


@pytest.fixture
def knee() -> Knee:
    regions = []
    for number in range(SHAPE[0]):
        near = f"slice {number}"
        for left, structure in ((14, "muscle"), (30, "subcutaneous_fat"), (46, "marrow_femur")):
            regions.append(Region(structure, number, "box", (14.0, left, 77.0, left + 15.0), near))
        for top, structure in ((14, "cartilage"), (34, "fluid"), (54, "meniscus")):
            regions.append(Region(structure, number, "box", (top, 64.0, top + 16.0, 80.0)))
        regions.append(Region("air", number, "box", (0.0, 0.0, 6.0, 95.0)))
    return Knee(RegionSet("boxes", SHAPE, tuple(regions)))


def shading(strength: float = 0.5) -> np.ndarray:
    """A smooth coil, brighter towards high columns and slices: the exponential of a polynomial of degree 2."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    return np.exp(strength * (x + 0.4 * z - 0.3 * y + 0.3 * x * y - 0.2 * x**2))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that fit the shipped network."""
    import torch
    from monai.bundle import ConfigParser

    path = tmp_path_factory.mktemp("weights") / "fresh.pt"
    parser = ConfigParser()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser.read_config(ROOT / "bundle" / "configs" / "inference.yaml")
        torch.manual_seed(0)
        torch.save(parser.get_parsed_content("network_def").state_dict(), path)
    return path
