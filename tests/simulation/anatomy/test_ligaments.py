# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scripts.simulation.anatomy.bones import bones
from scripts.simulation.anatomy.joint import STANDARD
from scripts.simulation.anatomy.ligaments import ligaments
from scripts.simulation.anatomy.structures import LABEL

HELD_BY = {
    "anterior_cruciate_ligament": ("femur", "tibia"),
    "posterior_cruciate_ligament": ("femur", "tibia"),
    "medial_collateral_ligament": ("femur", "tibia"),
    "lateral_collateral_ligament": ("femur", "fibula"),
    "quadriceps_tendon": ("patella",),
    "patellar_tendon": ("patella", "tibia"),
    "tendon": ("tibia", "fibula", "patella", "femur"),
}


def _free(standard, name: str) -> Tensor:
    """Points of a ligament outside the bones."""
    b = standard.bones
    return (standard.ligaments[name] < 0) & (torch.stack((b.femur, b.tibia, b.patella, b.fibula)).amin(0) > 0)


def test_names_are_structures(standard):
    assert set(standard.ligaments) == set(HELD_BY)
    assert set(HELD_BY) <= set(LABEL)


@pytest.mark.parametrize("name", HELD_BY)
def test_each_end_touches_its_bone(standard, name):
    for bone in HELD_BY[name]:
        closest = torch.maximum(standard.ligaments[name], getattr(standard.bones, bone)).min()
        assert closest < 0.35, f"{name} stays {closest:.2f} mm from the {bone}"


def test_attachments_hold_in_other_joints(standard):
    q = standard.q[:, ::2, ::2, ::2]
    for joint in (replace(STANDARD, patella_height=7.0), replace(STANDARD, patella_height=-7.0, notch_width=3.0)):
        solid = bones(q, joint)
        found = ligaments(q, solid, joint)
        for name in (
            "patellar_tendon",
            "quadriceps_tendon",
            "anterior_cruciate_ligament",
            "posterior_cruciate_ligament",
        ):
            for bone in HELD_BY[name]:
                assert torch.maximum(found[name], getattr(solid, bone)).min() < 1.0, (name, bone, joint)


def test_anterior_cruciate_runs_from_the_lateral_wall_down_forwards_and_inwards(standard):
    found = standard.q[:, _free(standard, "anterior_cruciate_ligament")]
    top, bottom = (
        found[:, found[2] > found[2].quantile(0.9)].mean(1),
        found[:, found[2] < found[2].quantile(0.1)].mean(1),
    )
    assert top[0] > bottom[0] and top[1] > bottom[1] + 6
    inside = standard.q[:, standard.ligaments["anterior_cruciate_ligament"] < 0]
    ends = inside[:, inside[2].argmax()] - inside[:, inside[2].argmin()]
    assert 24 < float(ends.norm()) < 42  # published: 31 to 38 mm, with its footprints


def test_anterior_cruciate_is_streaked(standard):
    along = torch.linspace(-8, 3, 221)
    line = torch.stack((torch.full_like(along, 1.0), along, torch.full_like(along, 3.0)))
    inside = ligaments(line, bones(line))["anterior_cruciate_ligament"] < 0
    assert int((inside[1:] & ~inside[:-1]).sum()) >= 3


def test_posterior_cruciate_is_a_thick_hook(standard):
    found = standard.q[:, _free(standard, "posterior_cruciate_ligament")]
    assert float(found.shape[1]) / 1000 > 2 * float(_free(standard, "anterior_cruciate_ligament").sum()) / 1000
    front, back = (
        found[:, found[1] < found[1].quantile(0.15)].mean(1),
        found[:, found[1] > found[1].quantile(0.85)].mean(1),
    )
    middle = found[:, (found[1] - found[1].median()).abs() < 2].mean(1)
    chord = front[2] + (back[2] - front[2]) * (middle[1] - front[1]) / (back[1] - front[1])
    assert middle[2] > chord + 2  # it bends: its middle lies above the line between its ends
    assert back[2] < front[2]


def test_patellar_tendon_is_as_thick_and_wide_as_published():
    """4 to 6 mm thick, 24 to 33 mm wide; free length 43 +- 5 mm (litmetric 32399156, 50 pairs of legs)."""
    y, x = torch.meshgrid(torch.arange(-64.0, -20.0, 0.2), torch.arange(-20.0, 40.0, 0.2), indexing="ij")
    q = torch.stack((x, y, torch.full_like(x, 2.0)))
    inside = ligaments(q, bones(q))["patellar_tendon"] < 0
    x, y = x[inside], y[inside]
    assert 24 < float(x.max() - x.min()) < 33
    central = (x - x.mean()).abs() < 1
    slant = 0.87  # the cut is level, the tendon leans by about 29 degrees
    assert 3.5 < slant * float(y[central].max() - y[central].min()) < 6.5


def test_patellar_tendon_free_length(standard):
    z = standard.q[2][_free(standard, "patellar_tendon") & ((standard.q[0] - 8).abs() < 1.5)]
    apex = standard.q[2][standard.bones.patella < 0].min()
    touching = (standard.ligaments["patellar_tendon"] < 0) & (standard.bones.tibia < 0)
    slant = 0.87
    assert 32 < float(apex - standard.q[2][touching].max()) / slant < 58
    assert len(z)


def test_collaterals_lie_on_their_sides(standard):
    assert (standard.q[0][_free(standard, "medial_collateral_ligament")] < -10).all()
    assert (standard.q[0][_free(standard, "lateral_collateral_ligament")] > 25).all()
    z = standard.q[2][_free(standard, "medial_collateral_ligament")]
    assert float(z.max() - z.min()) > 75  # the superficial part reaches far down the tibia


def test_ligaments_far_away_cost_nothing_and_find_nothing():
    far = torch.full((3, 4, 4), 500.0)
    assert all((distance > 100).all() for distance in ligaments(far, bones(far)).values())
