# SPDX-License-Identifier: Apache-2.0
"""Tissue against tissue: known ratios come out, whatever the coil does; blotches and bright ends show."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.scorecard.contrast import beside_muscle, coil_shading, marrow_unevenness, over, worst_suppression
from scripts.scorecard.region_sets import Region, RegionSet
from tests.scorecard.conftest import PD, PDFS, SHAPE, Knee, shading

PIXEL_MM = 0.5


def _without(regions: RegionSet, *structures: str) -> RegionSet:
    kept = tuple(region for region in regions.regions if region.structure not in structures)
    return RegionSet(regions.title, regions.shape, kept)


def test_a_known_ratio_to_muscle_comes_out_whatever_the_coil_does_from_slice_to_slice(knee: Knee) -> None:
    coil = np.linspace(0.2, 3.0, SHAPE[0])[:, None, None]
    found = beside_muscle(knee.paint(PDFS) * coil, knee.regions, ("subcutaneous_fat",))
    assert found is not None and found.value == pytest.approx(0.5)
    assert len(found.parts) == SHAPE[0]


def test_fat_without_muscle_beside_it_is_left_out(knee: Knee) -> None:
    volume = knee.paint(PDFS)
    far = Region("subcutaneous_fat", 0, "box", (0.0, 0.0, 3.0, 3.0), "elsewhere")
    alone = Region("subcutaneous_fat", 0, "box", (0.0, 0.0, 3.0, 3.0))
    more = RegionSet("", SHAPE, (*knee.regions.regions, far, alone))
    assert beside_muscle(volume, more, ("subcutaneous_fat",)) == beside_muscle(
        volume, knee.regions, ("subcutaneous_fat",)
    )
    assert beside_muscle(volume, RegionSet("", SHAPE, (far, alone)), ("subcutaneous_fat",)) is None


def test_the_worst_region_is_found_and_shading_cancels(knee: Knee) -> None:
    coil = shading(0.8)
    source, synthesis = knee.paint(PD) * coil, knee.paint(PDFS) * coil
    found = worst_suppression(source, synthesis, knee.regions)
    assert found is not None and found.value == pytest.approx(0.15, rel=1e-5)
    stripe = knee.regions.of("subcutaneous_fat")[7]
    synthesis[7][stripe.mask(*SHAPE[1:])] *= 4
    found = worst_suppression(source, synthesis, knee.regions)
    assert found is not None and found.value == pytest.approx(0.6, rel=1e-5)
    assert worst_suppression(source, synthesis, _without(knee.regions, "muscle")) is None


def test_coil_shading_is_read_off_fat_and_marrow_and_divided_out(knee: Knee) -> None:
    coil = shading(0.6)
    equal = {**PD, "marrow_femur": 1.0}  # what the method supposes
    found = coil_shading(knee.paint(equal) * coil, knee.regions)
    np.testing.assert_allclose(found / found.mean(), coil / coil.mean(), rtol=1e-6)
    ratio = over(knee.paint(PDFS) * coil, found, knee.regions, "cartilage", "muscle")
    assert ratio is not None and ratio.value == pytest.approx(1.2, rel=1e-6)
    plain = over(knee.paint(PDFS) * coil, np.ones(SHAPE), knee.regions, "cartilage", "muscle")
    assert plain is not None and plain.value > 1.8


def test_without_fat_there_is_no_shading_and_without_regions_no_ratio(knee: Knee) -> None:
    bare = _without(knee.regions, "subcutaneous_fat", "marrow_femur")
    volume = knee.paint(PD)
    assert (coil_shading(volume, bare) == 1).all()
    assert over(volume, np.ones(SHAPE), _without(bare, "fluid"), "fluid", "cartilage") is None
    assert marrow_unevenness(volume, volume, bare, PIXEL_MM) is None


def _unevenness(knee: Knee, source: np.ndarray, synthesis: np.ndarray) -> float:
    found = marrow_unevenness(source, synthesis, knee.regions, PIXEL_MM)
    assert found is not None
    return found.value


def test_marrow_that_is_scaled_alike_is_as_even_as_the_source(knee: Knee) -> None:
    coil = shading()
    source = knee.paint(PD) * coil
    assert _unevenness(knee, source, source) == pytest.approx(1)
    assert _unevenness(knee, source, 0.11 * source) == pytest.approx(1)


def test_shading_taken_out_is_accepted_and_shading_turned_round_is_not(knee: Knee) -> None:
    source = knee.paint(PD) * shading()
    assert 1.3 < _unevenness(knee, source, knee.paint(PDFS)) < 1.5
    assert _unevenness(knee, source, knee.paint(PDFS) / shading()) > 2


def test_a_bright_bone_end_shows(knee: Knee) -> None:
    coil = shading()
    source, clean = knee.paint(PD) * coil, knee.paint(PDFS) * coil
    end = clean.copy()
    end[:, 60:78, 46:62] *= 4
    assert _unevenness(knee, source, end) > 1.5


def test_a_blotch_shows_where_the_coil_is_dark_and_hides_it(knee: Knee) -> None:
    coil = np.linspace(0.4, 1.6, SHAPE[0])[:, None, None]
    source, synthesis = knee.paint(PD) * coil, knee.paint(PDFS) * coil
    synthesis[:4] *= 3
    marrow = (slice(None), slice(14, 78), slice(46, 62))
    spread = [float(volume[marrow].std() / volume[marrow].mean()) for volume in (source, synthesis)]
    assert spread[1] < spread[0]  # the synthesis alone looks more even than the source
    assert _unevenness(knee, source, synthesis) > 1.5


def test_fine_texture_is_no_blotch_and_a_flat_source_counts_as_a_real_one(knee: Knee) -> None:
    grain = np.random.default_rng(0).normal(1, 0.3, SHAPE)
    assert _unevenness(knee, knee.paint(PD), knee.paint(PDFS) * grain) < 1.1
