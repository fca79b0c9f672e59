# SPDX-License-Identifier: Apache-2.0
"""Every kind of lesion: it changes its own points and tissue only, shares stay whole, and it looks as it should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from scripts.simulation.anatomy.canvas import Sample
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.pathology.base import LesionParameters
from scripts.simulation.pathology.catalogue import KINDS, lesion_of
from scripts.simulation.pathology.places import PLACES
from scripts.simulation.signal import Sequence, turbo_spin_echo
from scripts.simulation.tissue import FAT, INDEX, draw_tissues

if TYPE_CHECKING:
    from tests.simulation.pathology.conftest import Sheet

Through = Callable[[str, str], "Sheet"]
SIZES = {"oedema": 24.0, "fat_oedema": 25.0, "red_marrow": 35.0, "effusion": 12.0, "lipohaemarthrosis": 14.0,
         "cartilage_defect": 12.0, "meniscal_tear": 16.0, "ligament_tear": 20.0, "baker_cyst": 35.0,
         "ganglion_cyst": 16.0, "lipoma": 35.0, "metal": 9.0}  # fmt: skip
EVERYWHERE = [(name, place) for name, places in PLACES.items() for place in places]
FIRST = [(name, next(iter(places))) for name, places in PLACES.items()]
LOOSE = {"subcutaneous_fat", "connective", "synovium", "fluid"}
LOSES = {
    "oedema": {"marrow_fat"},
    "red_marrow": {"marrow_fat"},
    "fat_oedema": {"subcutaneous_fat"},
    "effusion": LOOSE,
    "lipohaemarthrosis": LOOSE,
    "cartilage_defect": {"cartilage_deep", "cartilage_superficial"},
    "meniscal_tear": {"meniscus"},
    "ligament_tear": LOOSE | {"ligament"},
    "baker_cyst": LOOSE | {"muscle"},
    "ganglion_cyst": LOOSE,
    "lipoma": LOOSE | {"muscle", "tendon", "skin"},
    "metal": set(INDEX),
}
"""What each kind may take share from."""
PD = Sequence(2.7, 0.030, 8, 0.009)
PDFS = Sequence(3.0, 0.034, 8, 0.009)


def parameters(
    name: str, place: str, size: float | None = None, strength: float = 0.9, seed: int = 4
) -> LesionParameters:
    return LesionParameters(name, place, SIZES[name] if size is None else size, strength, seed)


def images(sample: Sample) -> tuple[Tensor, Tensor]:
    """PD and PDFS by the signal equation alone; fat keeps .12 of its signal."""
    table = draw_tissues(3.0, torch.Generator(), spread=0.0)
    plain = turbo_spin_echo(PD, table.t1, table.t2) * table.density
    suppressed = turbo_spin_echo(PDFS, table.t1, table.t2) * table.density * torch.where(FAT, 0.12, 1.0)
    pd, pdfs = (torch.einsum("c,c...->...", signal, sample.shares) for signal in (plain, suppressed))
    return pd, pdfs


def change(sheet: Sheet, with_lesion: Sample, over: float = 0.4) -> tuple[float, float]:
    """Mean change of PD and PDFS where the lesion took more than ``over`` of a point."""
    inside = with_lesion.lesion > over * float(with_lesion.lesion.max())
    pair = zip(images(with_lesion), images(sheet.sample), strict=True)
    pd, pdfs = (float((ill - well)[inside].mean()) for ill, well in pair)
    return pd, pdfs


@pytest.mark.parametrize(("name", "place"), EVERYWHERE)
def test_a_lesion_changes_its_mask_and_nothing_else(name: str, place: str, through: Through) -> None:
    sheet = through(name, place)
    kept = sheet.sample.shares.clone(), sheet.sample.labels.clone()
    ill = sheet.with_lesion(parameters(name, place))
    assert float(ill.lesion.max()) > 0.2, "there is no such lesion where it should be"
    untouched = ill.lesion == 0
    assert torch.equal(ill.shares[:, untouched], sheet.sample.shares[:, untouched])
    assert torch.equal(ill.labels[untouched], sheet.sample.labels[untouched])
    difference = (ill.shares - sheet.sample.shares).abs().sum(0) / 2
    torch.testing.assert_close(ill.lesion, difference, atol=1e-5, rtol=0)
    # the healthy sample is still what it was
    assert torch.equal(sheet.sample.shares, kept[0]) and torch.equal(sheet.sample.labels, kept[1])


@pytest.mark.parametrize(("name", "place"), EVERYWHERE)
def test_shares_stay_whole_and_only_what_may_be_lost_is_lost(name: str, place: str, through: Through) -> None:
    sheet = through(name, place)
    ill = sheet.with_lesion(parameters(name, place, strength=1.0))
    torch.testing.assert_close(ill.shares.sum(0), torch.ones_like(ill.lesion), atol=1e-4, rtol=0)
    assert float(ill.shares.min()) >= 0
    lost = ((sheet.sample.shares - ill.shares).flatten(1).max(1).values > 1e-6).tolist()
    assert {tissue for tissue, gone in zip(INDEX, lost, strict=True) if gone} <= LOSES[name]


@pytest.mark.parametrize(("name", "place"), FIRST)
def test_a_lesion_switched_off_is_not_there(name: str, place: str, through: Through) -> None:
    sheet = through(name, place)
    for off in (parameters(name, place, size=0.0), parameters(name, place, strength=0.0)):
        ill = sheet.with_lesion(off)
        assert torch.equal(ill.shares, sheet.sample.shares) and float(ill.lesion.max()) == 0


@pytest.mark.parametrize(("name", "place"), FIRST)
def test_the_same_seed_is_the_same_lesion(name: str, place: str, through: Through) -> None:
    sheet, drawn = through(name, place), parameters(name, place)
    first, again, other = (sheet.with_lesion(one) for one in (drawn, drawn, replace(drawn, seed=77)))
    assert torch.equal(first.shares, again.shares)
    assert not torch.equal(first.shares, other.shares)


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("metal", "meniscal_tear")])
def test_a_larger_lesion_changes_more(name: str, through: Through) -> None:
    place = next(iter(PLACES[name]))
    sheet = through(name, place)
    small, large = (
        float(sheet.with_lesion(parameters(name, place, size=size * SIZES[name])).lesion.sum()) for size in (0.6, 1.1)
    )
    assert large > 1.2 * small


@pytest.mark.parametrize("name", [name for name in KINDS if name != "metal"])
def test_a_stronger_lesion_changes_more(name: str, through: Through) -> None:
    place = next(iter(PLACES[name]))
    sheet = through(name, place)
    weak, strong = (float(sheet.with_lesion(parameters(name, place, strength=one)).lesion.sum()) for one in (0.4, 1.0))
    assert strong > 1.2 * weak


def test_lesions_do_not_depend_on_each_other(through: Through) -> None:
    sheet = through("oedema", "medial_femoral_condyle")
    oedema, cyst = parameters("oedema", "medial_femoral_condyle"), parameters("baker_cyst", "popliteal")
    both = lesion_of(cyst).apply(sheet.with_lesion(oedema), sheet.q, sheet.bones)
    alone = sheet.with_lesion(cyst)
    at = (alone.lesion > 0) & (sheet.with_lesion(oedema).lesion == 0)
    assert bool(at.any())
    assert torch.equal(both.shares[:, at], alone.shares[:, at])


# -- what it looks like ----------------------------------------------------------------------------------------------


def test_oedema_is_bright_with_fat_suppression_and_darker_without(through: Through) -> None:
    sheet = through("oedema", "medial_femoral_condyle")
    ill = sheet.with_lesion(parameters("oedema", "medial_femoral_condyle", strength=1.0))
    pd, pdfs = change(sheet, ill)
    assert pdfs > 0.08 and pd < -0.04
    marrow = ill.shares[[INDEX[name] for name in ("marrow_fat", "marrow_water", "oedema_water")]]
    fraction = marrow[0] / marrow.sum(0).clamp_min(1e-3)
    core = ill.lesion > 0.8 * ill.lesion.max()
    assert 0.3 < float(fraction[core].mean()) < 0.55  # marked oedema


def test_oedema_has_no_sharp_edge_and_red_marrow_stays_off_the_joint(through: Through) -> None:
    sheet = through("oedema", "medial_femoral_condyle")
    inside = sheet.sample.labels == LABEL["femur"]
    both = inside[:, 1:] & inside[:, :-1]
    edge = sheet.with_lesion(parameters("oedema", "medial_femoral_condyle")).lesion.diff(dim=1).abs()[both]
    assert float(edge.max()) < 0.25  # per .9 mm
    for place in PLACES["red_marrow"]:
        islands = through("red_marrow", place)
        found = islands.with_lesion(parameters("red_marrow", place)).lesion > 0.02
        assert float(islands.q[2][found].abs().min()) > 14


def test_fluid_is_bright_on_both_and_brightest_with_fat_suppression(through: Through) -> None:
    for name in ("effusion", "baker_cyst", "ganglion_cyst"):
        place = next(iter(PLACES[name]))
        sheet = through(name, place)
        ill = sheet.with_lesion(parameters(name, place, strength=1.0))
        assert change(sheet, ill)[1] > 0.15
        pdfs = images(ill)[1]
        bright = ill.shares[INDEX["fluid"]] > 0.95
        assert float(pdfs[bright].min()) > 1.2 * float(pdfs[ill.labels == LABEL["muscle"]].mean())


def test_a_lipoma_is_bright_without_and_dark_with_fat_suppression(through: Through) -> None:
    sheet = through("lipoma", "medial_thigh")
    ill = sheet.with_lesion(parameters("lipoma", "medial_thigh", strength=1.0))
    pd, pdfs = change(sheet, ill, over=0.8)
    assert pd > 0.2 and pdfs < -0.05
    inside = ill.labels == LABEL["lipoma"]
    assert int(inside.sum()) > 100 and float(ill.shares[FAT][:, inside].sum(0).mean()) > 0.85


def test_tears_and_defects_are_brighter_than_what_they_replace(through: Through) -> None:
    for name, places in PLACES.items():
        if name not in ("meniscal_tear", "cartilage_defect"):
            continue
        for place in places:
            sheet = through(name, place)
            pd, pdfs = change(sheet, sheet.with_lesion(parameters(name, place, strength=1.0)))
            assert pdfs > 0.05 and pd > 0.02, place


def test_a_torn_ligament_is_brighter_and_its_surroundings_swell(through: Through) -> None:
    for place in PLACES["ligament_tear"]:
        sheet = through("ligament_tear", place)
        ill = sheet.with_lesion(parameters("ligament_tear", place))
        own = sheet.sample.labels == LABEL[place + "_ligament"]
        for structure in (own & (ill.lesion > 0.3), ~own & (ill.lesion > 0.3)):
            assert int(structure.sum()) > 5, place
            assert float((images(ill)[1] - images(sheet.sample)[1])[structure].mean()) > 0.05, place


def test_metal_gives_no_signal(through: Through) -> None:
    for place in PLACES["metal"]:
        sheet = through("metal", place)
        ill = sheet.with_lesion(parameters("metal", place, strength=1.0))
        inside = ill.shares[INDEX["metal"]] > 0.999
        assert int(inside.sum()) > 5
        assert max(float(image[inside].max()) for image in images(ill)) < 1e-3


# -- where it may be -------------------------------------------------------------------------------------------------


def test_tears_keep_to_their_own_structure(through: Through) -> None:
    for name in ("meniscal_tear", "cartilage_defect"):
        for place, where in PLACES[name].items():
            sheet = through(name, place)
            found = sheet.with_lesion(parameters(name, place, strength=1.0)).lesion > 0.6
            labels = set(sheet.sample.labels[found].tolist())
            assert labels == {LABEL[where.structure]}, place


def test_a_tear_reaches_a_surface_of_the_meniscus(through: Through) -> None:
    for place in PLACES["meniscal_tear"]:
        sheet = through("meniscal_tear", place)
        structure = sheet.sample.labels == LABEL[PLACES["meniscal_tear"][place].structure]
        neighbours = torch.nn.functional.max_pool2d((~structure).float()[None, None], 3, stride=1, padding=1)[0, 0] > 0
        reached = 0
        for seed in range(8):
            torn = sheet.with_lesion(parameters("meniscal_tear", place, strength=1.0, seed=seed)).lesion > 0.3
            reached += bool((torn & neighbours).any())
        assert reached >= 7, place


def test_the_depth_of_a_cartilage_defect_follows_its_strength(through: Through) -> None:
    sheet = through("cartilage_defect", "medial_femoral_condyle")
    cartilage = [INDEX["cartilage_deep"], INDEX["cartilage_superficial"]]
    left = []
    for strength in (0.4, 1.0):
        drawn = parameters("cartilage_defect", "medial_femoral_condyle", strength=strength)
        core = (sheet.q - torch.tensor(lesion_of(drawn).centre).view(3, 1, 1))[1].abs() < 3  # type: ignore[attr-defined]
        own = core & (sheet.sample.labels == LABEL["femoral_cartilage"])
        ill = sheet.with_lesion(drawn)
        left.append(float(ill.shares[cartilage].sum(0)[own].sum() / sheet.sample.shares[cartilage].sum(0)[own].sum()))
    assert 0.35 < left[0] < 0.85 and left[1] < 0.15


def test_an_effusion_spares_bone_cartilage_ligament_muscle_and_skin(sheet: Callable[..., Sheet]) -> None:
    solid = (
        "femur", "tibia", "patella", "femoral_cartilage", "patellar_cartilage", "medial_meniscus", "muscle", "skin",
        "anterior_cruciate_ligament", "posterior_cruciate_ligament", "subcutaneous_fat",
    )  # fmt: skip
    for plane, at in (("sagittal", 2.0), ("axial", 30.0), ("coronal", 0.0)):
        healthy = sheet(plane, at)
        ill = healthy.with_lesion(parameters("effusion", "joint", size=20.0, strength=1.0))
        for name in solid:
            inside = healthy.sample.labels == LABEL[name]
            # boundary points hold a little of the joint's fat
            assert float(ill.lesion[inside].mean() if inside.any() else 0.0) < 0.05, (plane, name)


def test_blood_lies_in_levels_with_fat_in_front(through: Through) -> None:
    sheet = through("lipohaemarthrosis", "joint")
    ill = sheet.with_lesion(parameters("lipohaemarthrosis", "joint", strength=1.0))
    gained = (ill.shares - sheet.sample.shares).clamp_min(0)
    pouch = sheet.q[2] > 40

    def front(name: str) -> float:
        weight = gained[INDEX[name]] * pouch
        return float((weight * sheet.q[1]).sum() / weight.sum())

    assert front("subcutaneous_fat") < front("fluid") < front("blood")
