# SPDX-License-Identifier: Apache-2.0
"""Fat and muscle are found in a pair of scans, whatever the coil, and nothing is found where nothing is."""

from __future__ import annotations

import pytest
import torch

from scripts.body import body_mask, body_scale
from scripts.metrics.body import fill_body
from scripts.quality.water_fat import fat_and_muscle, noise_of
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.study import draw_study, simulate_study
from tests.evaluation.knees import PD, PDFS, SHAPE, scan, tissues

FAT = ("subcutaneous_fat", "fat_pad", "intermuscular_fat", "femur", "tibia", "patella", "fibula")


def normalised(volume: torch.Tensor) -> torch.Tensor:
    return volume / body_scale(volume)


@pytest.mark.parametrize(("shading", "least"), [(1.0, 0.95), (4.0, 0.8)])
def test_fat_and_muscle_of_a_phantom(shading: float, least: float) -> None:
    coil = torch.linspace(1, shading, SHAPE[1]).view(1, -1, 1)
    plain, suppressed = (normalised(torch.from_numpy(scan(values, 3)) * coil) for values in (PD, PDFS))
    body = fill_body(body_mask(plain) | body_mask(suppressed))
    found = fat_and_muscle(plain, suppressed, body)
    truth = {name: torch.from_numpy(mask.copy()) for name, mask in tissues().items()}
    for name, true in (("fat", truth["fat"] | truth["marrow"]), ("muscle", truth["muscle"])):
        assert float(true[found[name]].float().mean()) > least, (
            f"{name}: where the coil is dark, fluid looks like muscle"
        )
        assert float(found[name][true].float().mean()) > 0.2, name


def test_nothing_is_made_up_of_noise_alone() -> None:
    noise = torch.rand(4, 40, 40, generator=torch.Generator().manual_seed(0)) * 0.05
    assert fat_and_muscle(noise, noise, torch.ones_like(noise)) == {}


def test_noise_is_measured_in_the_air() -> None:
    volume = torch.zeros(4, 128, 128)
    volume[:, 40:88, 40:88] = 1.0
    generator = torch.Generator().manual_seed(1)
    noisy = torch.complex(volume + 0.03 * torch.randn(volume.shape, generator=generator),
                          0.03 * torch.randn(volume.shape, generator=generator)).abs()  # fmt: skip
    assert noise_of(noisy, fill_body(volume > 0)) == pytest.approx(0.03, rel=0.1)
    blanked = torch.where(volume > 0, noisy, torch.zeros(()))
    assert noise_of(blanked, volume > 0) == pytest.approx(0.03, rel=0.25), "blanked air says nothing; the body does"


@pytest.mark.slow
@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_fat_and_muscle_of_a_simulated_knee(plane: str) -> None:
    study = simulate_study(draw_study(9000001, "benchmark-v1", plane, (8, 256, 256)))
    plain, suppressed = (normalised(volume) for volume in study.noisy)
    body = fill_body(body_mask(plain) | body_mask(suppressed))
    found = fat_and_muscle(plain, suppressed, body)
    for name, structures, least in (("fat", FAT, 0.9), ("muscle", ("muscle",), 0.7)):
        inside = torch.isin(study.labels.long(), torch.tensor([LABEL[one] for one in structures]))
        assert float(inside[found[name]].float().mean()) > least, name
