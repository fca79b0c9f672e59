# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from scripts.simulation.anatomy.bones import bones
from scripts.simulation.anatomy.femur import FEMUR, femur, notch
from scripts.simulation.anatomy.joint import STANDARD, JointShape, draw_joint_shape
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.ranges import Ranges

BONES = ("femur", "tibia", "patella", "fibula")


def _span(q: Tensor, inside: Tensor, axis: int) -> float:
    values = q[axis][inside]
    return float(values.max() - values.min())


def _outside(distance: Tensor) -> Tensor:
    return distance.clamp_min(0)


def test_widths_are_those_of_an_adult(standard):
    """Ranges: women's mean minus two deviations to men's mean plus two.

    Femur: Terzidis 2012 (360 femora: 78.5 +- 3.0 and 88.6 +- 4.2 mm between the condyles' sides) and Kapur (100 femora:
    72.5 +- 3.5 and 82.7 +- 4.0 mm between the epicondyles). Condylar depth 55.4 +- 2.1 to 64.7 +- 4.5 mm, same sources.
    Patella: Huanmanop 2021 (50 knees: 42.8 +- 5.3 mm wide, 41.2 +- 4.7 mm long).
    """
    q, b = standard.q, standard.bones
    x, z = q[0], q[2]
    assert 65 < _span(q, (b.femur < 0) & (z < 40), 0) < 97
    for side in (-20, 20):
        assert 51 < _span(q, (b.femur < 0) & (z < 34) & ((x - side).abs() < 2), 1) < 74
    assert 62 < _span(q, (b.tibia < 0) & (z > -30), 0) < 86
    assert 40 < _span(q, (b.tibia < 0) & (z > -20), 1) < 60
    assert 32 < _span(q, b.patella < 0, 0) < 53
    assert 32 < _span(q, b.patella < 0, 2) < 51


def test_bones_do_not_touch_each_other(standard):
    b = standard.bones
    for first, one in enumerate(BONES):
        for other in BONES[first + 1 :]:
            closest = (_outside(getattr(b, one)) + _outside(getattr(b, other))).min()
            assert closest > 0.5, f"{one} and {other} come within {closest:.2f} mm"


def test_distances_are_true_lengths_near_the_surface(standard):
    """The gradient of a signed distance has length one."""
    for name in BONES:
        d = getattr(standard.bones, name)
        slope = torch.stack(torch.gradient(d)).square().sum(0).sqrt()
        near = slope[1:-1, 1:-1, 1:-1][(d.abs() < 4)[1:-1, 1:-1, 1:-1]]
        assert 0.85 < near.median() < 1.1
        assert near.quantile(0.02) > 0.4 and near.quantile(0.98) < 1.5


def test_medial_and_lateral_sides_differ():
    q = torch.stack(torch.meshgrid(*[torch.arange(-45.0, 46.0, 2.0)] * 3, indexing="ij"))
    own, mirrored = bones(q), bones(q * torch.tensor([-1.0, 1, 1]).view(3, 1, 1, 1))
    for name in ("femur", "tibia", "patella"):
        a, b = getattr(own, name) < 0, getattr(mirrored, name) < 0
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) < 0.97


def test_shafts_go_on_beyond_the_view_at_their_published_girth():
    """Mid-shaft: femur 26 to 32 mm, upper tibia 22 to 36 mm, fibula 9 to 16 mm across."""
    for z, name, low, high in ((130.0, "femur", 24, 34), (-110.0, "tibia", 22, 38), (-110.0, "fibula", 8, 17)):
        axes = (torch.arange(-40.0, 50.0, 0.5), torch.arange(-45.0, 45.0, 0.5))
        x, y = torch.meshgrid(*axes, indexing="ij")
        q = torch.stack((x, y, torch.full_like(x, z)))
        inside = getattr(bones(q), name) < 0
        for axis in (0, 1):
            assert low < _span(q, inside, axis) < high, f"{name} along axis {axis}"


def test_notch_is_a_tunnel_open_to_the_back_with_a_roof_that_rises():
    line = torch.stack((torch.zeros(60), torch.linspace(-5, 25, 60), torch.full((60,), 12.0)))
    assert (femur(line)[line[1] > 2] > 0).all()
    roofs = []
    for y in (-11.0, -8.0, -5.0):
        up = torch.arange(0.0, 60.0, 0.25)
        column = torch.stack((torch.full_like(up, FEMUR.notch.middle), torch.full_like(up, y), up))
        roofs.append(float(up[femur(column) < 0].min()))
    assert roofs == sorted(roofs) and roofs[-1] > roofs[0] + 5


def test_trochlea_is_a_groove_with_a_higher_lateral_side():
    x = torch.arange(-14.0, 22.0, 0.5)
    depth = torch.arange(-55.0, -20.0, 0.1)
    q = torch.stack(
        (x[:, None].expand(-1, len(depth)), depth.expand(len(x), -1), torch.full((len(x), len(depth)), 22.0))
    )
    front = torch.stack([depth[row < 0].min() for row in femur(q)])  # most anterior point of the bone at each x
    middle = (x - FEMUR.trochlea.middle).abs() < 4
    floor = front[middle].max()
    medial, lateral = front[x < -4].min(), front[x > 8].min()
    assert lateral < medial < floor
    assert 2 < floor - medial and floor - lateral < 12


def test_a_joint_follows_its_shape(standard):
    wide = bones(standard.q, replace(STANDARD, notch_width=6.0))
    assert (wide.femur < 0).sum() < (standard.bones.femur < 0).sum()
    high = bones(standard.q, replace(STANDARD, patella_height=6.0))
    z = standard.q[2]
    rise = z[high.patella < 0].mean() - z[standard.bones.patella < 0].mean()
    assert rise == pytest.approx(6.0, abs=0.7)
    assert torch.equal(high.tibia, standard.bones.tibia)
    groove = torch.tensor([[FEMUR.trochlea.middle], [-40.0], [20.0]])
    ridge = torch.tensor([[18.0], [-44.0], [20.0]])
    flat = bones(torch.cat((groove, ridge), 1), replace(STANDARD, trochlear_depth=0.3)).femur
    usual = bones(torch.cat((groove, ridge), 1)).femur
    assert flat[1] > usual[1] + 2 and abs(flat[0] - usual[0]) < 0.5


def test_a_drawn_joint_lies_in_its_ranges_and_names_what_is_missing():
    spec = {field.name: [0.9, 1.1] for field in fields(JointShape)}
    joint = draw_joint_shape(Ranges(spec, 3))
    assert all(0.9 <= getattr(joint, field.name) <= 1.1 for field in fields(JointShape))
    assert joint == draw_joint_shape(Ranges(spec, 3)) and joint != draw_joint_shape(Ranges(spec, 4))
    with pytest.raises(ValueError, match="cartilage"):
        draw_joint_shape(Ranges({key: value for key, value in spec.items() if key != "cartilage"}, 3))


def test_notch_distance_is_negative_inside_it():
    inside = torch.tensor([[FEMUR.notch.middle], [10.0], [10.0]])
    assert notch(inside, FEMUR.notch) < -3


@pytest.mark.real_data
def test_bones_lie_where_a_real_knee_has_them(real_knee):
    index = torch.stack(
        torch.meshgrid(
            *[torch.arange(0, n, k) for n, k in zip(real_knee.labels.shape, (4, 4, 2), strict=True)], indexing="ij"
        )
    )
    truth = real_knee.labels[tuple(index)]
    turn, shift = real_knee.to_knee[:3, :3], real_knee.to_knee[:3, 3]
    q = torch.tensordot(turn, index.float(), 1) + shift.view(3, 1, 1, 1)
    ours = bones(q)
    for name, least in (("femur", 0.93), ("tibia", 0.93), ("patella", 0.85), ("fibula", 0.86)):
        a, b = getattr(ours, name) < 0, truth == LABEL[name]
        dice = 2 * (a & b).sum() / (a.sum() + b.sum())
        assert dice > least, f"{name}: Dice {dice:.3f}"
