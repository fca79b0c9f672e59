# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from scripts.simulation.anatomy.bones import bones
from scripts.simulation.anatomy.cartilage import cartilage
from scripts.simulation.anatomy.measures import CARTILAGES, beside, measure, rim, thickness
from scripts.simulation.anatomy.menisci import menisci
from scripts.simulation.anatomy.structures import LABEL


def _spacing(*steps: float) -> torch.Tensor:
    return torch.diag(torch.tensor([*steps, 1.0]))


def test_rim_and_beside_of_a_block():
    mask = torch.zeros(7, 7, 7, dtype=torch.bool)
    mask[2:5, 2:5, 2:5] = True
    assert int(rim(mask).sum()) == 26 and not rim(mask)[3, 3, 3]
    assert int(beside(mask).sum()) == 6 * 9
    edge = torch.ones(3, 3, 3, dtype=torch.bool)
    assert int(rim(edge).sum()) == 26  # the volume's border counts as outside
    assert not beside(edge).any()


@pytest.mark.parametrize(("voxels", "step"), [(3, 0.5), (5, 0.8), (2, 1.0)])
def test_thickness_of_a_plate_is_its_thickness(voxels, step):
    layer, bone = torch.zeros(24, 24, 24, dtype=torch.bool), torch.zeros(24, 24, 24, dtype=torch.bool)
    bone[:, :, :10] = True
    layer[4:-4, 4:-4, 10 : 10 + voxels] = True
    found = thickness(layer, bone, _spacing(step, step, step))
    assert float(found.median()) == pytest.approx(voxels * step, abs=1e-3)
    assert len(thickness(torch.zeros_like(layer), bone, _spacing(1, 1, 1))) == 0


def test_measures_of_blocks_in_oblong_voxels():
    labels = torch.zeros(40, 40, 40, dtype=torch.uint8)
    labels[5:35, 5:25, 22:40] = LABEL["femur"]
    labels[5:35, 5:25, 21] = LABEL["femoral_cartilage"]
    labels[4:36, 6:24, 0:15] = LABEL["tibia"]
    found = measure(labels, _spacing(2.0, 1.5, 3.0))
    assert found["femur_volume"] == pytest.approx(30 * 20 * 18 * 9 / 1000)
    assert found["femur_width"] == pytest.approx(29 * 2.0)
    assert found["tibia_width"] == pytest.approx(31 * 2.0)
    assert found["tibia_depth"] == pytest.approx(17 * 1.5)
    assert found["femoral_cartilage_thickness"] == pytest.approx(3.0)
    assert found["femoral_cartilage_area"] == pytest.approx(30 * 2 * 20 * 1.5 / 100)
    assert math.isnan(found["patella_width"]) and math.isnan(found["medial_meniscus_height"])


def test_turning_the_volume_changes_nothing():
    labels = torch.zeros(30, 30, 30, dtype=torch.uint8)
    labels[3:20, 5:28, 14:30] = LABEL["femur"]
    labels[3:20, 5:28, 12:14] = LABEL["femoral_cartilage"]
    turned = labels.permute(2, 0, 1)  # its axes are z, x, y
    affine = torch.eye(4)[:, [2, 0, 1, 3]]
    one, other = measure(labels, torch.eye(4)), measure(turned, affine)
    assert {k: v for k, v in one.items() if v == v} == pytest.approx(
        {k: v for k, v in other.items() if v == v}, rel=1e-4
    )


def _label_standard(to_knee: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    labels = torch.zeros(shape, dtype=torch.uint8)
    for k in range(shape[2]):
        index = torch.stack(
            torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), torch.tensor([k]), indexing="ij")
        )
        q = (torch.tensordot(to_knee[:3, :3], index.float(), 1) + to_knee[:3, 3].view(3, 1, 1, 1))[..., 0]
        solid = bones(q)
        layers = cartilage(q, solid)
        medial, lateral = menisci(q, solid, layers)
        laid = {name: getattr(layers, name.removesuffix("_cartilage")) for name in CARTILAGES}
        laid |= {"medial_meniscus": medial, "lateral_meniscus": lateral}
        laid |= {name: getattr(solid, name) for name in ("femur", "tibia", "patella", "fibula")}
        for name, distance in laid.items():
            labels[:, :, k][distance < 0] = LABEL[name]
    return labels


@pytest.mark.real_data
def test_standard_knee_measures_like_a_real_one(real_knee):
    """Patellar cartilage is left out: that of the real knee is thinner (1.3 mm) than is published for healthy knees."""
    coarse = real_knee.labels[::2, ::2]
    affine = real_knee.to_knee @ torch.diag(torch.tensor([2.0, 2.0, 1.0, 1.0]))
    real, ours = measure(coarse, affine), measure(_label_standard(affine, coarse.shape), affine)
    apart = {
        "femur_volume": 0.05, "tibia_volume": 0.05, "patella_volume": 0.08, "fibula_volume": 0.1,
        "femur_width": 0.05, "tibia_width": 0.05, "tibia_depth": 0.05, "patella_width": 0.1, "patella_height": 0.15,
        "medial_condyle_depth": 0.06, "lateral_condyle_depth": 0.06,
        "femoral_cartilage_volume": 0.12, "medial_tibial_cartilage_volume": 0.12,
        "lateral_tibial_cartilage_volume": 0.12,
        "femoral_cartilage_thickness": 0.15, "medial_tibial_cartilage_thickness": 0.15,
        "lateral_tibial_cartilage_thickness": 0.15, "medial_meniscus_volume": 0.2, "lateral_meniscus_volume": 0.2,
        "medial_meniscus_width": 0.25, "lateral_meniscus_width": 0.25,
    }  # fmt: skip
    off = {name: (real[name], ours[name]) for name, most in apart.items() if abs(ours[name] / real[name] - 1) > most}
    assert not off, f"real and ours: {off}"
