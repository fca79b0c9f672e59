# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from scripts.simulation.anatomy.bones import bones
from scripts.simulation.anatomy.cartilage import (
    LATERAL_MARGIN,
    LATERAL_TIBIAL,
    UNDER,
    cartilage,
    femoral_thickness,
    patellar_thickness,
    tibial_thickness,
)

LAYERS = {"femoral": "femur", "medial_tibial": "tibia", "lateral_tibial": "tibia", "patellar": "patella"}


def _visible(standard, name):
    """Points of a layer outside all bones."""
    b = standard.bones
    bone = torch.stack((b.femur, b.tibia, b.patella, b.fibula)).amin(0)
    return (getattr(standard.cartilage, name) < 0) & (bone >= 0)


def test_volumes_are_those_of_healthy_adults(standard):
    """Eckstein 2001 (27 men): 16.6 to 31.4 mL in all; women about a quarter less. The standard knee is a small one."""
    volumes = {name: float(_visible(standard, name).sum()) / 1000 for name in LAYERS}
    assert 12 < sum(volumes.values()) < 32
    assert volumes["femoral"] > 0.5 * sum(volumes.values())
    assert all(volume > 1.0 for volume in volumes.values())


def test_thickness_on_the_bone_is_published(standard):
    """Eckstein 2001: means of 1.57 to 2.43 mm over all plates, patella 2.76 mm and up to 5.72 mm, thickest of all."""
    q, b = standard.q, standard.bones
    maps = {
        "femoral": femoral_thickness(q),
        "lateral_tibial": tibial_thickness(q, b.plateau, LATERAL_TIBIAL, LATERAL_MARGIN),
        "patellar": patellar_thickness(q),
    }
    means = {}
    for name, thick in maps.items():
        on_bone = (getattr(b, LAYERS[name]).abs() < 0.6) & (thick > 0.5)
        assert on_bone.any()
        means[name] = float(thick[on_bone].mean())
        assert 1.4 < means[name] < 3.3, name
        assert 2.2 < float(thick[on_bone].max()) < 6, name
    assert means["patellar"] > means["femoral"]


def test_layers_lie_on_their_bone_and_nowhere_else(standard):
    for name, bone in LAYERS.items():
        d = getattr(standard.bones, bone)[getattr(standard.cartilage, name) < 0]
        assert d.min() >= -UNDER - 1e-4
        assert d.max() < 6


def test_opposing_layers_share_no_point_and_meet_under_load(standard):
    c = standard.cartilage
    for other in ("medial_tibial", "lateral_tibial", "patellar"):
        both = (c.femoral < 0) & (getattr(c, other) < 0)
        assert not both.any(), other
        gap = (c.femoral.clamp_min(0) + getattr(c, other).clamp_min(0)).min()
        assert gap < 1.0, f"femoral and {other} stay {gap:.2f} mm apart"
    b = standard.bones
    assert not ((c.femoral < -0.3) & (torch.minimum(b.tibia, b.patella) < 0)).any()
    assert not ((torch.minimum(c.medial_tibial, c.patellar) < -0.3) & (b.femur < 0)).any()


def test_cartilage_stays_out_of_the_notch_and_off_the_shafts(standard):
    z = standard.q[2]
    assert not (_visible(standard, "femoral") & (z > 50)).any()
    assert not ((standard.cartilage.medial_tibial < 0) & (z < -14)).any()
    roof = torch.tensor([[-3.0], [-7.0], [22.0]])
    assert cartilage(roof, bones(roof)).femoral > 0


def test_depth_runs_from_the_bone_to_the_surface(standard):
    for name, bone in LAYERS.items():
        inside = _visible(standard, name) & (getattr(standard.cartilage, name) < -0.2)
        depth = getattr(standard.cartilage, f"{name}_depth")[inside]
        assert depth.min() >= 0 and depth.max() <= 1
        assert depth.min() < 0.3 and depth.max() > 0.7
        distance = getattr(standard.bones, bone)[inside]
        order = torch.corrcoef(torch.stack((depth, distance)))[0, 1]
        assert order > 0.6, name


@pytest.mark.parametrize("how", ["scale", "wave"])
def test_thickness_scales(standard, how):
    q, b = standard.q[:, :, ::3], None
    b = bones(q)
    usual = (cartilage(q, b).femoral < 0) & (b.femur >= 0)
    layers = cartilage(q, b, scale=1.4) if how == "scale" else cartilage(q, b, wave=torch.full_like(q[0], 0.4))
    thicker = (layers.femoral < 0) & (b.femur >= 0)
    assert 1.2 < thicker.sum() / usual.sum() < 1.6
