# SPDX-License-Identifier: Apache-2.0
"""A simulated study is one study, wherever it is made, and physically whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scripts.simulation.phantom import Knee
from scripts.simulation.cohort import simulated_cohort
from scripts.simulation.old_parameters import draw_knee
from scripts.simulation.study import PLANES, draw_study, grid, simulate_study
from scripts.simulation.tissue import COMPARTMENTS, INDEX, draw_tissues

SHAPE = (3, 48, 48)


def points(count: int = 3000) -> torch.Tensor:
    return (torch.rand(3, count, generator=torch.Generator().manual_seed(1)) - 0.5) * 150


def knee(seed: int = 0) -> Knee:
    generator = torch.Generator().manual_seed(seed)
    return Knee(draw_knee(generator), generator)


def test_shares_of_each_point_are_a_whole() -> None:
    shares = knee().compartments(points())
    assert float(shares.min()) >= -1e-5
    torch.testing.assert_close(shares.sum(0), torch.ones(3000), atol=1e-4, rtol=0)


def test_the_space_around_the_leg_is_air_and_the_condyles_are_marrow() -> None:
    found = knee().compartments(torch.tensor([[150.0, 20.0, -20.0], [150.0, 0.0, 0.0], [0.0, 20.0, 20.0]]))
    assert float(found[INDEX["air"], 0]) == pytest.approx(1)
    marrow = found[INDEX["marrow_fat"]] + found[INDEX["marrow_water"]] + found[INDEX["oedema_water"]]
    assert (marrow[1:] > 0.5).all()


def test_left_and_right_knees_mirror_each_other() -> None:
    generator = torch.Generator().manual_seed(5)
    drawn = replace(draw_knee(generator), tilt=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0))
    left, right = (
        Knee(replace(drawn, left=side), torch.Generator().manual_seed(6)).compartments(
            points() * torch.tensor([[1.0 if side else -1.0], [1.0], [1.0]])
        )
        for side in (True, False)
    )
    torch.testing.assert_close(left, right, atol=1e-4, rtol=0)


@pytest.mark.parametrize("change", ["fluid", "fat_thickness", "oedema", "baker_cyst"])
def test_more_of_something_shows_as_more_of_it(change: str) -> None:
    few, many = {"fluid": (0.6, 5.0), "fat_thickness": (3.0, 17.0), "oedema": (0.0, 1.0), "baker_cyst": (0.0, 20.0)}[
        change
    ]
    name = {"fluid": "fluid", "fat_thickness": "subcutaneous_fat", "oedema": "oedema_water", "baker_cyst": "fluid"}[
        change
    ]
    drawn = draw_knee(torch.Generator().manual_seed(2))
    less, more = (
        Knee(replace(drawn, **{change: value}), torch.Generator().manual_seed(3)).compartments(points(20000))[
            INDEX[name]
        ]
        for value in (few, many)
    )
    assert float(more.sum()) > float(less.sum())


def test_tissue_without_spread_is_the_table_at_each_field() -> None:
    for field, which in ((1.5, 0), (3.0, 1), (7.0, 1)):
        table = draw_tissues(field, torch.Generator(), spread=0)
        torch.testing.assert_close(table.t1, torch.tensor([tissue.t1[which] for tissue in COMPARTMENTS]))


@pytest.mark.parametrize("plane", PLANES)
def test_slices_lie_along_the_planes_normal_and_the_grid_is_centred(plane: str) -> None:
    parameters = draw_study(4, plane, (5, 32, 32))
    affine = grid(parameters)
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    assert int(affine[:3, 0].abs().argmax()) == axis
    torch.testing.assert_close(affine[:3, :3].norm(dim=0), torch.tensor(parameters.spacing, dtype=torch.float64))
    rotation = affine[:3, :3] / affine[:3, :3].norm(dim=0)
    torch.testing.assert_close(rotation.T @ rotation, torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)
    centre = affine @ torch.tensor([2, 15.5, 15.5, 1], dtype=torch.float64)
    torch.testing.assert_close(centre[:3], torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)


def test_a_seed_is_one_study_and_another_seed_another() -> None:
    first, again, other = (simulate_study(draw_study(seed, "sagittal", SHAPE), 1) for seed in (7, 7, 8))
    assert torch.equal(first.noisy, again.noisy)
    assert not torch.equal(first.noisy, other.noisy)


def test_noise_is_the_stated_one_and_fat_is_what_suppression_takes() -> None:
    study = simulate_study(draw_study(9, "sagittal", (6, 96, 96)), 1)
    air = study.labels == INDEX["air"]
    # Where there is no signal the magnitude is Rayleigh: mean square 2 sigma^2. The clean part is counted off.
    for index in range(2):
        square = study.noisy[index][air].square().mean() - study.clean[index][air].square().mean()
        assert float(square) == pytest.approx(2 * study.sigma[index] ** 2, rel=0.1)
    fat, muscle = study.labels == INDEX["subcutaneous_fat"], study.labels == INDEX["muscle"]
    before, after = (float(volume[fat].mean() / volume[muscle].mean()) for volume in study.clean)
    assert before > 1.5
    assert after < 0.7


@pytest.mark.parametrize(("plane", "shape"), [("oblique", SHAPE), ("axial", (0, 64, 64)), ("axial", (4, 8, 64))])
def test_what_no_scanner_does_is_refused(plane: str, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"choose|cannot be scanned"):
        draw_study(0, plane, shape)


def test_the_cohort_is_cached_and_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    one = simulated_cohort(tmp_path / "one", "test", 2, shape=SHAPE, workers=1)
    two = simulated_cohort(tmp_path / "two", "test", 2, shape=SHAPE, workers=2)
    for a, b in zip(one, two, strict=True):
        assert a.sigma == b.sigma
        for name in ("PD", "PDFS_clean"):
            x, y = (torch.load(patient.folder / f"{name}.pt", weights_only=True)["voxels"] for patient in (a, b))
            assert torch.equal(x, y)
    before = (one[0].folder / "PD.pt").stat().st_mtime_ns
    simulated_cohort(tmp_path / "one", "test", 2, shape=SHAPE, workers=1)
    assert (one[0].folder / "PD.pt").stat().st_mtime_ns == before


def test_sections_never_share_a_knee(tmp_path: Path) -> None:
    names = [
        simulated_cohort(tmp_path, section, 1, shape=SHAPE, workers=1)[0].folder.name
        for section in ("training", "test")
    ]
    assert names[0] != names[1]
    with pytest.raises(ValueError, match="choose one of"):
        simulated_cohort(tmp_path, "holdout", 1)
