# SPDX-License-Identifier: Apache-2.0
"""A whole drawn knee: what it holds, and that it hangs together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from scripts.simulation.anatomy.canvas import Sample
from scripts.simulation.anatomy.frame import Pose
from scripts.simulation.anatomy.knee import Knee
from scripts.simulation.anatomy.parameters import KneeParameters, draw_knee
from scripts.simulation.anatomy.structures import LABEL, STRUCTURES
from scripts.simulation.preset import load_preset
from scripts.simulation.ranges import Ranges
from scripts.simulation.tissue import INDEX

POSE = Pose(scale=(1.0, 1.0, 1.0), left=True, flexion=0.1, tilt=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0))
STEP = 1.8
ELSEWHERE = {"background", "cyst", "lipoma", "metal", "shape"}  # lesions, and what is no knee


def points(step: float = STEP, half: float = 70.0) -> torch.Tensor:
    at = torch.arange(-half, half, step)
    z, y, x = torch.meshgrid(at, at, at, indexing="ij")
    return torch.stack((x, y + 8, z))


def sample(parameters: KneeParameters) -> Sample:
    return Knee(parameters).sample(points(), STEP)


@pytest.fixture(scope="module")
def usual() -> Sample:
    return sample(KneeParameters(seed=1, pose=POSE))


def test_every_point_is_made_of_something(usual: Sample) -> None:
    assert float(usual.shares.min()) >= 0
    torch.testing.assert_close(usual.shares.sum(0), torch.ones_like(usual.lesion), atol=1e-4, rtol=0)
    assert float(usual.lesion.max()) == 0


def test_all_structures_are_there(usual: Sample) -> None:
    found = {STRUCTURES[int(value)] for value in usual.labels.unique()}
    assert found >= set(STRUCTURES) - ELSEWHERE


def test_the_leg_is_one_piece_and_so_is_each_bone(usual: Sample) -> None:
    labels = usual.labels.numpy()
    for name, inside in [("body", labels > 0)] + [(n, labels == LABEL[n]) for n in ("femur", "tibia", "patella")]:
        parts, count = ndimage.label(inside)
        sizes = np.bincount(parts.ravel())[1:]
        assert sizes.max() / sizes.sum() > 0.98, (name, count)


def test_cartilage_and_menisci_lie_in_the_joint_and_marrow_in_bone(usual: Sample) -> None:
    labels = usual.labels
    bone = torch.zeros_like(labels, dtype=torch.bool)
    for name in ("femur", "tibia", "patella", "fibula"):
        bone |= labels == LABEL[name]
    fatty = usual.shares[INDEX["marrow_fat"]]
    assert float(fatty[~bone].sum()) < 0.06 * float(fatty.sum())  # the rest is partial volume at the surface
    near = torch.from_numpy(ndimage.binary_dilation(bone.numpy(), iterations=4))
    for name in ("femoral_cartilage", "patellar_cartilage", "medial_meniscus", "lateral_meniscus"):
        assert bool(near[labels == LABEL[name]].float().mean() > 0.98), name


def test_the_same_seed_is_the_same_knee_and_another_is_not(usual: Sample) -> None:
    again = sample(KneeParameters(seed=1, pose=POSE))
    assert torch.equal(again.shares, usual.shares)
    other = sample(KneeParameters(seed=2, pose=POSE))
    assert float((other.shares - usual.shares).abs().mean()) > 1e-3


@pytest.mark.parametrize(
    ("change", "compartment"),
    [
        ({"fluid": 4.0}, "fluid"),
        ({"fat_thickness": 18.0}, "subcutaneous_fat"),
        ({"muscle_bulk": 1.25}, "muscle"),
        ({"red_marrow": 0.9}, "marrow_water"),
    ],
)
def test_a_parameter_changes_what_it_names(usual: Sample, change: dict[str, float], compartment: str) -> None:
    more = sample(replace(KneeParameters(seed=1, pose=POSE), **change))
    before, after = (float(one.shares[INDEX[compartment]].sum()) for one in (usual, more))
    assert after > 1.05 * before


@pytest.mark.parametrize("preset", ["clinical", "randomised"])
def test_any_drawn_knee_can_be_sampled(preset: str) -> None:
    for seed in range(4):
        knee = draw_knee(Ranges(load_preset(preset), seed).section("knee"), seed)
        found = Knee(knee).sample(points(6.0), 3.0)
        assert torch.isfinite(found.shares).all()
        assert float((found.labels == LABEL["femur"]).float().mean()) > 0.01
