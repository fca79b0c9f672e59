# SPDX-License-Identifier: Apache-2.0
"""Random scenes: real tissues at every scale, whole shares, and another scene with every seed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from scripts.simulation.anatomy.canvas import Sample
from scripts.simulation.anatomy.random_shapes import RandomShapes, ShapesParameters, draw_shapes
from scripts.simulation.anatomy.random_solids import FORMS, Solid, Stuff
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.preset import load_preset
from scripts.simulation.ranges import Ranges
from scripts.simulation.records import as_plain, from_plain
from scripts.simulation.tissue import COMPARTMENTS, FAT, INDEX

SEEDS = range(12)
WATER = ~FAT & torch.tensor([tissue.density > 0 for tissue in COMPARTMENTS])
FAT_STUFF = Stuff("subcutaneous_fat", "connective", 0.0, "fine", 0.0, 0.0)


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return dict(load_preset("randomised")["shapes"])


@pytest.fixture(scope="module")
def scenes(spec: dict[str, Any]) -> list[Sample]:
    return [RandomShapes(draw(spec, seed)).sample(sheet(), 1.2) for seed in SEEDS]


def draw(spec: dict[str, Any], seed: int) -> ShapesParameters:
    return draw_shapes(Ranges(spec, seed, "/shapes"), seed)


def sheet(height: float = 0.0, size: int = 96, spacing: float = 1.7) -> torch.Tensor:
    line = (torch.arange(size) - size / 2 + 0.5) * spacing
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((x, y, torch.full_like(x, height)))


def test_shares_are_whole(scenes: list[Sample]) -> None:
    for scene in scenes:
        torch.testing.assert_close(scene.shares.sum(0), torch.ones(96, 96), atol=1e-4, rtol=0)
        assert -1e-6 <= float(scene.shares.min()) and float(scene.shares.max()) <= 1 + 1e-5
        assert float(scene.lesion.abs().max()) == 0


def test_each_scene_lies_in_air_and_holds_fat_and_water(scenes: list[Sample]) -> None:
    for scene in scenes:
        outside = scene.labels == LABEL["background"]
        assert 0.05 < float(outside.float().mean()) < 0.9
        assert float(scene.shares[INDEX["air"]][outside].min()) >= 0.5  # what is outside is mostly air
        inside = scene.shares[:, ~outside]
        assert float(inside[FAT].sum(0).mean()) > 0.02
        assert float(inside[WATER].sum(0).mean()) > 0.02


def test_scenes_do_not_share_their_fat_fraction(scenes: list[Sample]) -> None:
    fat = [float(scene.shares[FAT].sum(0)[scene.labels > 0].mean()) for scene in scenes]
    assert max(fat) - min(fat) > 0.2


def test_every_tissue_occurs_in_some_scene(spec: dict[str, Any]) -> None:
    found = torch.zeros(len(COMPARTMENTS))
    for seed in range(60):
        parameters = draw(spec, seed)
        stuff = [*parameters.regions, parameters.between, *(one.stuff for one in parameters.solids)]
        for one in stuff:
            found[INDEX[one.main]] += 1
            found[INDEX[one.admixed]] += 1
    missing = {tissue.name for tissue, count in zip(COMPARTMENTS, found.tolist(), strict=True) if not count}
    assert missing <= {"air", "metal", "skin"}


def test_a_seed_means_one_scene_and_another_seed_another(spec: dict[str, Any], scenes: list[Sample]) -> None:
    again = RandomShapes(draw(spec, 3)).sample(sheet(), 1.2)
    assert torch.equal(again.shares, scenes[3].shares)
    for seed in (4, 5):
        assert float((scenes[3].shares - scenes[seed].shares).abs().sum(0).mean()) > 0.3


def test_textures_follow_the_recorded_seed(spec: dict[str, Any]) -> None:
    parameters = draw(spec, 1)
    first, other = (RandomShapes(one).sample(sheet(), 1.2) for one in (parameters, replace(parameters, seed=99)))
    assert not torch.equal(first.shares, other.shares)


def test_a_scene_is_one_solid_body_seen_from_every_side(spec: dict[str, Any]) -> None:
    # The sheet x = 0 and the sheet z = 0 cross in a line: on it they must agree.
    scene = RandomShapes(draw(spec, 2))
    line = (torch.arange(96) - 47.5) * 1.7
    axial = torch.stack((torch.zeros(96), line, torch.zeros(96)))
    across = sheet()[[2, 1, 0]]
    found = scene.sample(across, 1.2).shares[:, :, 47:49].mean(2)
    torch.testing.assert_close(scene.sample(axial, 1.2).shares.mean(1), found.mean(1), atol=0.03, rtol=0)


def test_regions_and_solids_come_at_all_scales(spec: dict[str, Any]) -> None:
    drawn = [draw(spec, seed) for seed in range(60)]
    girths = torch.tensor([solid.girth for one in drawn for solid in one.solids])
    cells = torch.tensor([one.cell for one in drawn])
    assert float(girths.min()) < 1.0 and float(girths.max()) > 20.0
    assert float(cells.min()) < 10 and float(cells.max()) > 30
    assert {solid.form for one in drawn for solid in one.solids} == set(FORMS)


@pytest.mark.parametrize("form", FORMS)
def test_a_solid_is_inside_at_its_centre_and_ends_within_its_reach(form: str) -> None:
    solid = Solid(form, (3.0, -2.0, 5.0), (0.0, 0.6, 0.8), 12.0, 4.0, 0.0, 0.0, 0.0, 0.0, FAT_STUFF, FAT_STUFF)
    centre = torch.tensor(solid.centre).view(3, 1)
    away = torch.nn.functional.normalize(torch.randn(3, 500, generator=torch.Generator().manual_seed(0)), dim=0)
    assert float(solid.distance(centre)) < -1
    assert float(solid.distance(centre + (solid.reach + 0.5) * away).min()) > 0


def test_a_record_of_a_scene_gives_the_scene_back(spec: dict[str, Any]) -> None:
    parameters = draw(spec, 7)
    assert from_plain(ShapesParameters, json.loads(json.dumps(as_plain(parameters)))) == parameters


def test_what_cannot_be_is_refused(spec: dict[str, Any]) -> None:
    solid = Solid("blob", (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 5.0, 2.0, 0.0, 0.0, 0.0, 0.0, FAT_STUFF, FAT_STUFF)
    with pytest.raises(ValueError, match="above zero"):
        replace(solid, girth=-1.0)
    with pytest.raises(ValueError, match="Form 'cube' is unknown"):
        replace(solid, form="cube")
    with pytest.raises(ValueError, match="Tissue 'cheese' is unknown"):
        replace(FAT_STUFF, main="cheese")
    with pytest.raises(ValueError, match="radii"):
        replace(draw(spec, 0), radii=(0.0, 50.0, 50.0))
