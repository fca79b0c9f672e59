# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scripts.simulation.anatomy.bones import bones
from scripts.simulation.anatomy.cartilage import cartilage
from scripts.simulation.anatomy.joint import STANDARD
from scripts.simulation.anatomy.menisci import menisci

SIDES = {"medial": -1.0, "lateral": 1.0}


def _cut(plane, at, step=0.25, joint=STANDARD):
    """Both menisci on a fine plane through the joint: coordinates and insides."""
    span = {"x": (-42, 42), "y": (-34, 26), "z": (-12, 14)}
    axes = [torch.arange(*span[axis], step) if axis != plane else torch.tensor([at]) for axis in "xyz"]
    q = torch.stack(torch.meshgrid(*axes, indexing="ij")).squeeze("xyz".index(plane) + 1)
    solid = bones(q)
    medial, lateral = menisci(q, solid, cartilage(q, solid), joint)
    return q, {"medial": medial < 0, "lateral": lateral < 0}


def _extent(values):
    return float(values.max() - values.min())


def test_volumes_are_those_of_adults(standard):
    """Published means 1.7 to 3.1 mL; Bloecker 2011 for the ratio to the plateau."""
    for side in SIDES:
        volume = float((getattr(standard, f"{side}_meniscus") < 0).sum()) / 1000
        assert 1.4 < volume < 3.6, side


def test_body_is_a_wedge_in_coronal_cuts():
    """Mid-body: 7 to 13 mm wide and 4.5 to 8.5 mm high at the rim, thin at the free edge."""
    q, inside = _cut("y", -3.0)
    for side, sign in SIDES.items():
        x, z = q[0][inside[side]] * sign, q[2][inside[side]]
        assert 6.5 < _extent(x) < 13.5, side
        rim, edge = z[x > x.max() - 2.5], z[x < x.min() + 1.5]
        assert 4 < _extent(rim) < 9, side
        assert _extent(edge) < 0.65 * _extent(rim), side


def test_horns_are_two_triangles_and_the_body_one_bow_tie_in_sagittal_cuts():
    for side, sign in SIDES.items():
        q, inside = _cut("x", sign * 18.0)
        along = inside[side].any(1)  # over z, at each y
        y = q[1][:, 0]
        middle = float(y[along].mean())
        assert not along[(y - middle).abs() < 3].any(), f"{side}: the middle of the joint is filled"
        assert along[y < middle - 3].any() and along[y > middle + 3].any()
        q, inside = _cut("x", sign * 29.5)
        along = inside[side].any(1)
        runs = int((along[1:] & ~along[:-1]).sum())
        assert runs == 1, f"{side}: the body is in {runs} pieces"


def test_medial_is_wider_behind_and_lateral_is_rounder(standard):
    q, inside = _cut("x", -20.0)
    y = q[1][inside["medial"]]
    middle = float(y.max() + y.min()) / 2
    assert _extent(y[y > middle]) > 1.2 * _extent(y[y < middle])
    ratio = {}
    for side in SIDES:
        found = standard.q[:, getattr(standard, f"{side}_meniscus") < 0]
        ratio[side] = _extent(found[1]) / _extent(found[0])
    assert ratio["medial"] > ratio["lateral"] > 0.8


def test_horns_reach_towards_the_spines_and_leave_the_middle_open(standard):
    for side, sign in SIDES.items():
        found = standard.q[:, getattr(standard, f"{side}_meniscus") < 0]
        inner = found[0] * sign
        middle = float(found[1].mean())
        assert inner.min() < 14
        assert not ((inner < 12) & ((found[1] - middle).abs() < 4)).any()


def test_menisci_overlap_neither_bone_nor_cartilage_and_leave_no_gap(standard):
    b, c = standard.bones, standard.cartilage
    hard = torch.stack((b.femur, b.tibia, c.femoral, c.medial_tibial, c.lateral_tibial)).amin(0)
    for side in SIDES:
        inside = getattr(standard, f"{side}_meniscus") < 0
        assert hard[inside].min() > 0
        femur = torch.minimum(b.femur, c.femoral)[inside]
        tibia = torch.stack((b.tibia, c.medial_tibial, c.lateral_tibial)).amin(0)[inside]
        assert femur.min() < 0.6 and tibia.min() < 0.6


@pytest.mark.parametrize("side", SIDES)
def test_width_follows_the_joint_and_the_rim_stays(side):
    found = {}
    for width in (0.75, 1.0, 1.15):
        q, inside = _cut("y", -3.0, joint=replace(STANDARD, meniscus_width=width))
        found[width] = q[0][inside[side]] * SIDES[side]
    extents = {width: _extent(x) for width, x in found.items()}
    assert extents[0.75] == pytest.approx(0.75 * extents[1.0], rel=0.12)  # its edges are rounded
    assert extents[1.15] > 1.05 * extents[1.0]
    assert found[0.75].max() == pytest.approx(float(found[1.15].max()), abs=0.3)
