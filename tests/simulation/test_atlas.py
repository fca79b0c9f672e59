# SPDX-License-Identifier: Apache-2.0
"""The pictures and the table of the simulator's page."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scripts.simulation.atlas.__main__ import BEGIN, END, _fill
from scripts.simulation.atlas.scenes import EFFECTS, lesion_place, one_slice, plain
from scripts.simulation.atlas.sheets import SEEN_IN, write_sheet
from scripts.simulation.atlas.table import RANGES, TISSUES, Row, as_markdown, regions
from scripts.simulation.atlas.texture import OCTAVES, octave_variation
from scripts.simulation.pathology.catalogue import KINDS
from scripts.simulation.study import StudyParameters, draw_study, map_study

SHAPE = (8, 64, 64)
WHOLE = torch.ones(64, 64, dtype=torch.bool)


@pytest.fixture(scope="module")
def study() -> StudyParameters:
    drawn = draw_study(5, plane="sagittal", shape=SHAPE, field_strength=3.0)
    return replace(drawn, lesions=(), scanner=plain(drawn.scanner))


def wave(period: float) -> torch.Tensor:
    """A plane of mean one whose columns vary by a tenth (root mean square)."""
    return (1 + 0.1 * math.sqrt(2) * torch.sin(2 * math.pi * torch.arange(64) / period)).expand(64, 64).contiguous()


def test_an_even_region_has_no_texture() -> None:
    assert max(octave_variation(torch.full((64, 64), 3.0), WHOLE)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("period", "octave"), [(2.5, 0), (6.0, 1), (10.0, 2), (18.0, 3)])
def test_a_wave_shows_in_the_octave_of_its_length(period: float, octave: int) -> None:
    found = octave_variation(wave(period), WHOLE)
    assert max(range(4), key=lambda number: found[number]) == octave
    # What a Gaussian of standard deviation s leaves of a wave: exp(-2 (pi s / period)^2).
    finer, coarser = (math.exp(-2 * (math.pi * s / period) ** 2) for s in ((0.0, *OCTAVES)[octave], OCTAVES[octave]))
    assert found[octave] == pytest.approx(0.1 * (finer - coarser), rel=0.1)


def test_texture_is_relative_and_that_of_the_region_alone() -> None:
    image, half = wave(6.0), WHOLE.clone()
    half[:, 32:] = False
    other = image.clone()
    other[:, 32:] = 50.0
    assert octave_variation(other, half) == pytest.approx(octave_variation(image, half), rel=1e-4)
    assert octave_variation(7 * image, half) == pytest.approx(octave_variation(image, half), rel=1e-4)
    with pytest.raises(ValueError, match="empty"):
        octave_variation(image, ~WHOLE)


def test_a_row_is_judged_by_its_mean_and_never_passes_without_values() -> None:
    assert Row("a", (1.0, 3.0), 1.9, 2.1, "s").inside
    assert not Row("a", (1.0, 3.0), 2.1, 3.0, "s").inside
    assert not Row("a", (), 0.0, 1.0, "s").inside
    lines = as_markdown([Row("a", (1.0, 3.0), 2.1, 3.0, "s"), Row("b", (), 0.0, 1.0, "s")]).splitlines()
    assert lines[2] == "| a | 2 (1 to 3) | 2.1 to 3 | s | **no** |"
    assert "not found" in lines[3]


def test_ranges_are_ranges() -> None:
    assert all(low < high for _, low, high, _ in RANGES)
    assert len({name for name, *_ in RANGES}) == len(RANGES)


def test_the_table_goes_between_its_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    _fill(page, "new\n")
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text("no place", encoding="utf-8")
    with pytest.raises(SystemExit, match="no place for the table"):
        _fill(page, "new\n")


def test_regions_are_of_one_tissue(study: StudyParameters) -> None:
    maps = map_study(replace(study, stack=replace(study.stack, spacing=(8.0, 2.2, 2.2))))
    found = regions(maps)
    assert set(found) == set(TISSUES)
    assert all(bool(found[name].any()) for name in ("muscle", "subcutaneous fat", "marrow"))
    assert not bool((found["muscle"] & found["marrow"]).any())


@pytest.mark.parametrize("name", [name for name in EFFECTS if name != "nothing"])
def test_every_effect_changes_the_image(study: StudyParameters, name: str) -> None:
    without = one_slice(study, 10.0).noisy
    changed = one_slice(replace(study, scanner=EFFECTS[name](study.scanner)), 10.0).noisy
    relative = (changed - without).abs().mean() / without.mean()
    assert float(relative) > (0.0005 if name == "pulsation" else 0.003)


def test_every_kind_of_lesion_is_shown_where_it_is() -> None:
    assert set(SEEN_IN) == set(KINDS)
    chances = dict.fromkeys(KINDS, 0.0) | {"oedema": 1.0}
    drawn = draw_study(3, plane="coronal", shape=(24, 96, 96), field_strength=3.0, pathology=chances)
    drawn = replace(drawn, lesions=drawn.lesions[-1:], scanner=plain(drawn.scanner))
    offset, row, column = lesion_place(drawn)
    lesion = one_slice(drawn, offset).lesion[0]
    rows, columns = torch.nonzero(lesion > 0.1, as_tuple=True)
    assert abs(float(rows.float().mean()) - row) < 12
    assert abs(float(columns.float().mean()) - column) < 12
    with pytest.raises(ValueError, match="no lesion"):
        lesion_place(replace(drawn, lesions=()))


def test_a_sheet_is_a_picture(tmp_path: Path) -> None:
    from PIL import Image

    tiles = [[(f"{number}", torch.rand(16, 16)) for number in range(3)] for _ in range(2)]
    path = write_sheet(tmp_path / "sheet.png", "Title", tiles, columns=2)
    with Image.open(path) as image:
        assert image.width > 200 and image.height > image.width  # two columns, two blocks of two rows
