# SPDX-License-Identifier: Apache-2.0
"""Small simulated knees, scanned as PD and PDFS without motion, and scans of them at any place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.body import body_scale
from scripts.pairing.volume import Scan
from scripts.simulation.scanner.motion import Motion
from scripts.simulation.study import Study, draw_study, simulate_study

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHAPE = (12, 96, 96)


def scan_of(voxels: torch.Tensor, affine_lps: np.ndarray) -> Scan:
    voxels = voxels.float()
    return Scan(MetaTensor(voxels[None] / body_scale(voxels), affine=torch.from_numpy(_LPS_TO_RAS @ affine_lps)))


def displaced(study: Study, right: float = 0, down: float = 0, along: float = 0, angle: float = 0) -> np.ndarray:
    """Affine by which PDFS pretends to lie elsewhere: what is at (x, y) mm on PD is then turned and moved on PDFS."""
    from scripts.transforms.align import grid_of

    affine = study.affine_lps.numpy()
    grid = grid_of(affine, study.noisy.shape[1:])
    frame = np.stack((grid.right, grid.down, np.cross(grid.right, grid.down)), axis=1)
    c, s = math.cos(angle), math.sin(angle)
    motion = np.eye(4)
    motion[:3, :3] = frame @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ frame.T
    centre = grid.middle.mean(axis=0)
    motion[:3, 3] = centre - motion[:3, :3] @ centre + right * grid.right + down * grid.down + along * grid.normal
    return motion @ affine


@pytest.fixture(scope="session")
def knees() -> tuple[Study, Study]:
    """Two sagittal knees."""
    studies = []
    for seed in (5001, 5005):
        drawn = draw_study(seed, plane="sagittal", shape=SHAPE, field_strength=1.5, pathology={"metal": 0.0})
        still = {name: replace(getattr(drawn.scanner, name), motion=Motion()) for name in ("pd", "pdfs")}
        studies.append(simulate_study(replace(drawn, scanner=replace(drawn.scanner, **still)), sub_slices=1))
    return studies[0], studies[1]


@pytest.fixture
def write_study() -> Callable[..., Path]:
    """A function that writes series as one DICOM study: (voxels, affine, contrast) each."""
    from scripts.dicom.study import SimulatedSeries, write_simulated_study

    def write(folder: Path, number: int, *series: tuple[torch.Tensor, np.ndarray, str], **more: object) -> Path:
        content = [
            SimulatedSeries(
                voxels.float().numpy(), affine, name, f"{name} TSE", 2.7, 0.03, 8, 1.5, name == "PDFS", **more
            )
            for voxels, affine, name in series
        ]
        write_simulated_study(folder, content, number)
        return folder

    return write
