# SPDX-License-Identifier: Apache-2.0
"""The standard knee on a grid, made once, and the real label map where it is at hand."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from scripts.simulation.anatomy.bones import Bones, bones
from scripts.simulation.anatomy.cartilage import Cartilage, cartilage
from scripts.simulation.anatomy.ligaments import ligaments
from scripts.simulation.anatomy.menisci import menisci
from scripts.simulation.anatomy.structures import LABEL

STEP = 1.0


@dataclass(frozen=True)
class Standard:
    """The standard knee, sampled at ``q``."""

    q: Tensor
    bones: Bones
    cartilage: Cartilage
    medial_meniscus: Tensor
    lateral_meniscus: Tensor
    ligaments: dict[str, Tensor]


@pytest.fixture(scope="session")
def standard() -> Standard:
    axes = (torch.arange(-44, 46, STEP), torch.arange(-66, 38, STEP), torch.arange(-66, 74, STEP))
    q = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    solid = bones(q)
    layers = cartilage(q, solid)
    medial, lateral = menisci(q, solid, layers)
    return Standard(q, solid, layers, medial, lateral, ligaments(q, solid))


@dataclass(frozen=True)
class RealKnee:
    """One real right knee: structure values ``(X, Y, Z)`` and the affine ``(4, 4)`` from voxel index to knee frame."""

    labels: Tensor
    to_knee: Tensor


NAMES = (
    "background",
    "femoral_cartilage",
    "medial_tibial_cartilage",
    "lateral_tibial_cartilage",
    "patellar_cartilage",
    "femur",
    "tibia",
    "patella",
    "fibula",
    "lateral_meniscus",
    "medial_meniscus",
)


@pytest.fixture(scope="session")
def real_knee(real_data: Path) -> RealKnee:
    """The real label map, brought to the standard frame by landmarks: a turn and a shift, no scaling."""
    path = real_data / "pymskt" / "SAG_3D_DESS_RIGHT_bones_cart_men_fib-label.nrrd"
    if not path.is_file():
        pytest.skip(f"no real label map at {path}")
    head, _, body = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    sizes = tuple(int(size) for size in fields["sizes"].split())
    raw = np.frombuffer(gzip.decompress(body), np.uint8).reshape(sizes, order="F")
    directions = np.array(
        [[float(v) for v in part.strip("()").split(",")] for part in fields["space directions"].split()]
    )
    origin = np.array([float(v) for v in fields["space origin"].strip("()").split(",")])
    # Landmarks: the spines' middle (75, -3, -4.5) mm; the line along the back of the condyles turned by 6 degrees about
    # the long axis, the joint line by 2 degrees about the sagittal axis.
    yaw, roll = np.radians(6.0), np.radians(2.0)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    lift = np.array([[np.cos(roll), 0, np.sin(roll)], [0, 1, 0], [-np.sin(roll), 0, np.cos(roll)]])
    rigid, mirror = lift @ turn, np.diag([-1.0, 1.0, 1.0])  # LPS x grows to the left: medial, in a right knee
    affine = np.eye(4)
    affine[:3, :3] = rigid @ mirror @ directions.T
    affine[:3, 3] = rigid @ (mirror @ origin - np.array([75.0, -3.0, -4.5]))
    values = np.array([LABEL[name] for name in NAMES], np.uint8)
    return RealKnee(torch.from_numpy(values[raw]), torch.from_numpy(affine).float())
