# SPDX-License-Identifier: Apache-2.0
"""Regions: which pixels, which files are refused and how, and whether the shipped ones lie in their tissue."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.errors import UsageError
from scripts.scorecard.region_sets import FAT, MARROW, SHIPPED, STRUCTURES, Region, parse_regions, read_regions

GOOD: dict[str, Any] = {
    "title": "a knee",
    "stack": {"shape": [3, 20, 30], "affine_ras": np.diag([3.0, 0.5, 0.5, 1.0]).tolist(), "echo_times_ms": [25.2, 31]},
    "regions": [
        {"structure": "muscle", "near": "calf", "slice": 1, "box": [2, 3, 4, 9]},
        {"structure": "fluid", "slice": 2, "polygon": [[5, 5], [9, 5], [9, 9]]},
        {"structure": "air", "slice": 0, "disc": [10, 10, 3]},
    ],
}


def test_pixels_on_the_border_are_inside() -> None:
    box = Region("muscle", 0, "box", (2, 3, 4, 9)).mask(20, 30)
    assert box.sum() == 3 * 7 and box[2, 3] and box[4, 9]
    corners = Region("muscle", 0, "polygon", (2, 3, 2, 9, 4, 9, 4, 3)).mask(20, 30)
    assert (corners == box).all()
    triangle = Region("fluid", 0, "polygon", (5, 5, 9, 5, 9, 9)).mask(20, 30)
    assert triangle.sum() == 15 and triangle[5, 5] and triangle[7, 7] and not triangle[6, 7]
    disc = Region("air", 0, "disc", (10, 10, 2)).mask(20, 30)
    assert disc.sum() == 13 and disc[12, 10] and not disc[12, 11]


def test_a_good_file_says_everything(tmp_path: Path) -> None:
    path = tmp_path / "knee.json"
    path.write_text(json.dumps(GOOD))
    regions = read_regions(path)
    assert regions.shape == (3, 20, 30) and regions.echo_times == pytest.approx((0.0252, 0.031))
    assert [r.structure for r in regions.of("muscle", "air")] == ["muscle", "air"]
    assert regions.regions[0].near == "calf" and regions.regions[1].near == ""


def test_regions_refuse_another_knee() -> None:
    regions = parse_regions(GOOD)
    affine = np.diag([3.0, 0.5, 0.5, 1.0])
    assert regions.misfit((3, 20, 30), affine) == ""
    assert "3 x 20 x 31" in regions.misfit((3, 20, 31), affine)
    moved = affine.copy()
    moved[1, 3] = 4.0
    assert "4.0 mm apart" in regions.misfit((3, 20, 30), moved)
    anywhere = copy.deepcopy(GOOD)
    del anywhere["stack"]["affine_ras"]
    assert parse_regions(anywhere).misfit((3, 20, 30), moved) == ""


def _set(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        at: Any = content
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


def _drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        at: Any = content
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop("title"), "the file has no title"),
        (_set("title", value=" "), '"title" is'),
        (_drop("stack", "shape"), '"stack" has no shape'),
        (_set("stack", "shape", value=[3, 20]), "need 3 finite numbers"),
        (_set("stack", "shape", value=[3, 20, 0]), "need slices, rows and columns"),
        (_set("stack", "affine_ras", value=[[1, 0, 0, 0]]), "4 rows"),
        (_set("stack", "voxels", value=1), "voxels, which is unknown"),
        (_set("regions", value=[]), "at least one region"),
        (_set("regions", 0, "structure", value="bone"), "region 1: structure 'bone' is unknown"),
        (_set("regions", 1, "slice", value=3), "region 2: slice 3; need a whole number from 0 to 2"),
        (_set("regions", 1, "slice", value=True), "region 2: slice True"),
        (_set("regions", 0, "box", value=[2, 3, 20, 9]), "region 1: reaches outside"),
        (_set("regions", 0, "box", value=[2, 3, "4", 9]), "region 1: .*need 4 finite numbers"),
        (_set("regions", 0, "box", value=[4, 3, 2, 9]), "region 1: holds no pixel"),
        (_set("regions", 1, "polygon", value=[[1, 1], [2, 2]]), "fewer than 3 corners"),
        (_set("regions", 1, "polygon", value=[[1, 1], [2, 2], [3, float("nan")]]), "need 2 finite numbers"),
        (_set("regions", 2, "disc", value=[1, 1, 3]), "region 3: reaches outside"),
        (_set("regions", 2, "box", value=[1, 1, 3, 3]), "region 3: 2 shapes"),
        (_drop("regions", 2, "disc"), "region 3: no shapes"),
        (_set("regions", 0, "near", value=3), "region 1: near 3"),
        (_set("regions", 0, "weight", value=3), "region 1 has weight, which is unknown"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(change: Callable[[dict[str, Any]], None], message: str) -> None:
    content = copy.deepcopy(GOOD)
    change(content)
    with pytest.raises(ValueError, match=message):
        parse_regions(content)


def test_refusals_of_a_file_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    for name, message in (("absent", "no readable file"), ("text", "not JSON"), ("list", "is not an object")):
        with pytest.raises(UsageError, match=message):
            read_regions(tmp_path / f"{name}.json")


def test_shipped_files_are_sound_and_the_knee_has_every_tissue() -> None:
    paths = sorted(SHIPPED.glob("*.json"))
    assert len(paths) == 2
    for path in paths:
        assert read_regions(path).title
    knee = read_regions(SHIPPED / "ge_mese.json")
    assert knee.affine_ras is not None
    assert {region.structure for region in knee.regions} == set(STRUCTURES)
    places = [region for region in knee.regions if region.structure != "air"]
    for number in {region.slice for region in places}:  # no voxel has two tissues
        masks = [region.mask(256, 256) for region in places if region.slice == number]
        assert np.max(np.sum(masks, axis=0)) == 1


@pytest.mark.real_data
def test_each_region_of_the_real_knee_decays_as_its_tissue_does(real_data: Path) -> None:
    """T2 from echoes 2 to 8 (the first lacks the stimulated echoes): a region in the wrong tissue would show."""
    from scripts.dicom.index import index_series
    from scripts.transforms.orientation import DisplayOrientation
    from scripts.transforms.series import LoadKneeSeries

    regions = read_regions(SHIPPED / "ge_mese.json")
    stacks = index_series([real_data / "pymskt" / "mese_knee_ge3t"])[1:]
    echoes = [DisplayOrientation()(LoadKneeSeries()([str(file) for file in stack.files])) for stack in stacks]
    assert regions.misfit(tuple(echoes[0].shape[1:]), echoes[0].affine.numpy()) == ""
    volumes = np.stack([echo[0].numpy() for echo in echoes])
    times = 1000 * np.array([stack.echo_time for stack in stacks], dtype=float)
    # Bounds in ms: Gold 2004 (AJR 183:343) at 3 T with room for partial volume and stimulated echoes.
    bounds = {"muscle": (28, 37), "cartilage": (32, 52), "fluid": (200, np.inf), "meniscus": (0, 30)}
    bounds |= dict.fromkeys(FAT + MARROW, (100, 160))
    mean_brightness: dict[str, list[float]] = {}
    for region in regions.regions:
        signal = volumes[:, region.slice, region.mask(256, 256)].mean(axis=1)
        mean_brightness.setdefault(region.structure, []).append(float(signal[2]))
        if region.structure == "air":
            continue
        slope = np.polyfit(times, np.log(signal), 1, w=signal)[0]
        low, high = bounds[region.structure]
        assert low < (-1 / slope if slope < 0 else np.inf) < high, region
    brightness = {name: float(np.mean(values)) for name, values in mean_brightness.items()}
    assert brightness["air"] < 0.25 * brightness["meniscus"]
    assert brightness["meniscus"] < brightness["muscle"] < brightness["fluid"] < brightness["subcutaneous_fat"]
