# SPDX-License-Identifier: Apache-2.0
"""Every kind of lesion: it changes its own points and tissue only, shares stay whole, and it looks as it should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from scripts.simulation.anatomy.canvas import Sample
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.pathology.base import LesionParameters, LocalLesion
from scripts.simulation.pathology.catalogue import KINDS, lesion_of
from scripts.simulation.pathology.places import PLACES
from scripts.simulation.signal import Sequence, turbo_spin_echo
from scripts.simulation.tissue import FAT, INDEX, draw_tissues

if TYPE_CHECKING:
    from tests.simulation.pathology.conftest import Sheet

Through = Callable[[LesionParameters], "Sheet"]
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
    "ganglion_cyst": LOOSE | {"muscle"},
    "lipoma": LOOSE | {"muscle", "tendon", "skin"},
    "metal": set(INDEX),
}
"""What each kind may take share from."""
PD = Sequence(2.7, 0.030, 8, 0.009)
PDFS = Sequence(3.0, 0.034, 8, 0.009)


def lesion(name: str, place: str, size: float | None = None, strength: float = 1.0, seed: int = 4) -> LesionParameters:
    return LesionParameters(name, place, SIZES[name] if size is None else size, strength, seed)


def images(sample: Sample) -> tuple[Tensor, Tensor]:
    """PD and PDFS by the signal equation alone; fat keeps .12 of its signal."""
    table = draw_tissues(3.0, torch.Generator(), spread=0.0)
    plain = turbo_spin_echo(PD, table.t1, table.t2) * table.density
    suppressed = turbo_spin_echo(PDFS, table.t1, table.t2) * table.density * torch.where(FAT, 0.12, 1.0)
    pd, pdfs = (torch.einsum("c,c...->...", signal, sample.shares) for signal in (plain, suppressed))
    return pd, pdfs


def change(sheet: Sheet, ill: Sample, over: float = 0.4) -> tuple[float, float]:
    """Mean change of PD and PDFS where the lesion took more than ``over`` of the most it took of any point."""
    inside = ill.lesion > over * float(ill.lesion.max())
    pair = zip(images(ill), images(sheet.sample), strict=True)
    pd, pdfs = (float((after - before)[inside].mean()) for after, before in pair)
    return pd, pdfs


@pytest.mark.parametrize(("name", "place"), EVERYWHERE)
def test_a_lesion_changes_its_mask_and_nothing_else(name: str, place: str, through: Through) -> None:
    sheet = through(lesion(name, place))
    kept = sheet.sample.shares.clone(), sheet.sample.labels.clone()
    ill = sheet.with_lesion(lesion(name, place))
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
    sheet = through(lesion(name, place))
    ill = sheet.with_lesion(lesion(name, place))
    torch.testing.assert_close(ill.shares.sum(0), torch.ones_like(ill.lesion), atol=1e-4, rtol=0)
    assert float((ill.shares - sheet.sample.shares.clamp_max(0)).min()) >= 0  # none that the knee did not have
    lost = ((sheet.sample.shares - ill.shares).flatten(1).max(1).values > 1e-6).tolist()
    assert {tissue for tissue, gone in zip(INDEX, lost, strict=True) if gone} <= LOSES[name]


@pytest.mark.parametrize(("name", "place"), FIRST)
def test_a_lesion_switched_off_is_not_there(name: str, place: str, through: Through) -> None:
    sheet = through(lesion(name, place))
    for off in (lesion(name, place, size=0.0), lesion(name, place, strength=0.0)):
        ill = sheet.with_lesion(off)
        assert torch.equal(ill.shares, sheet.sample.shares) and float(ill.lesion.max()) == 0


@pytest.mark.parametrize(("name", "place"), FIRST)
def test_the_same_seed_is_the_same_lesion(name: str, place: str, through: Through) -> None:
    drawn = lesion(name, place)
    sheet = through(drawn)
    first, again, other = (sheet.with_lesion(one) for one in (drawn, drawn, replace(drawn, seed=77)))
    assert torch.equal(first.shares, again.shares)
    assert not torch.equal(first.shares, other.shares)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "meniscal_tear"])
def test_a_larger_lesion_changes_more(name: str, through: Through) -> None:
    place = next(iter(PLACES[name]))
    sheet = through(lesion(name, place))
    sizes = (0.6 * SIZES[name], 1.1 * SIZES[name])
    small, large = (float(sheet.with_lesion(lesion(name, place, size=size)).lesion.sum()) for size in sizes)
    assert large > 1.2 * small


@pytest.mark.parametrize("name", [name for name in KINDS if name != "metal"])
def test_a_stronger_lesion_changes_more(name: str, through: Through) -> None:
    place = next(iter(PLACES[name]))
    sheet = through(lesion(name, place))
    weak, strong = (float(sheet.with_lesion(lesion(name, place, strength=one)).lesion.sum()) for one in (0.4, 1.0))
    assert strong > 1.2 * weak


def test_lesions_do_not_depend_on_each_other(through: Through) -> None:
    oedema, cyst = lesion("oedema", "medial_femoral_condyle", seed=2), lesion("baker_cyst", "popliteal")
    sheet = through(oedema)
    both = lesion_of(cyst).apply(sheet.with_lesion(oedema), sheet.q, sheet.bones)
    alone = sheet.with_lesion(cyst)
    at = (alone.lesion > 0) & (sheet.with_lesion(oedema).lesion == 0)
    assert bool(at.any())
    assert torch.equal(both.shares[:, at], alone.shares[:, at])


def test_points_need_not_lie_on_a_sheet(through: Through) -> None:
    drawn = lesion("oedema", "medial_femoral_condyle")
    sheet = through(drawn)
    whole = sheet.with_lesion(drawn)
    row = Sample(*(getattr(sheet.sample, part)[..., 90, :] for part in ("shares", "labels", "lesion")))
    bones = SimpleNamespace(**{name: getattr(sheet.bones, name)[90] for name in ("femur", "tibia", "patella")})
    found = lesion_of(drawn).apply(row, sheet.q[:, 90], bones)
    torch.testing.assert_close(found.shares, whole.shares[:, 90], atol=1e-6, rtol=0)


# -- what it looks like ----------------------------------------------------------------------------------------------


def test_oedema_is_bright_with_fat_suppression_and_darker_without(through: Through) -> None:
    for place in ("medial_femoral_condyle", "posterolateral_tibia", "medial_patella"):
        sheet = through(lesion("oedema", place))
        ill = sheet.with_lesion(lesion("oedema", place))
        pd, pdfs = change(sheet, ill)
        assert pdfs > 0.08 and -0.1 < pd < -0.02, place
        marrow = ill.shares[[INDEX[name] for name in ("marrow_fat", "marrow_water", "oedema_water")]]
        fraction = marrow[0] / marrow.sum(0).clamp_min(1e-3)
        core = ill.lesion > 0.8 * ill.lesion.max()
        assert 0.3 < float(fraction[core].mean()) < 0.55, place  # marked oedema


def test_oedema_has_no_sharp_edge_and_red_marrow_stays_off_the_joint(through: Through) -> None:
    oedema = lesion("oedema", "medial_femoral_condyle")
    sheet = through(oedema)
    inside = sheet.bones.femur < -3  # within the cortex
    both = inside[:, 1:] & inside[:, :-1]
    fat = sheet.sample.shares[INDEX["marrow_fat"]]
    edge = (sheet.with_lesion(oedema).lesion / fat.clamp_min(0.3)).diff(dim=1).abs()[both]
    assert float(edge.max()) < 0.15  # per .9 mm
    for place in PLACES["red_marrow"]:
        islands = through(lesion("red_marrow", place))
        found = islands.with_lesion(lesion("red_marrow", place)).lesion > 0.02
        assert float(islands.q[2][found].abs().min()) > 14


def test_fluid_is_bright_on_both_and_brightest_with_fat_suppression(through: Through) -> None:
    for name, place in (("effusion", "joint"), ("baker_cyst", "popliteal"), ("ganglion_cyst", "hoffa")):
        sheet = through(lesion(name, place))
        ill = sheet.with_lesion(lesion(name, place))
        assert change(sheet, ill)[1] > 0.15, name
        pdfs = images(ill)[1]
        bright = ill.shares[INDEX["fluid"]] > 0.95
        assert float(pdfs[bright].min()) > 1.2 * float(pdfs[ill.labels == LABEL["muscle"]].mean()), name


def test_a_lipoma_is_bright_without_and_dark_with_fat_suppression(through: Through) -> None:
    drawn = lesion("lipoma", "medial_thigh")
    sheet = through(drawn)
    ill = sheet.with_lesion(drawn)
    pd, pdfs = change(sheet, ill, over=0.8)
    assert pd > 0.2 and pdfs < -0.05
    inside = ill.labels == LABEL["lipoma"]
    assert int(inside.sum()) > 100 and float(ill.shares[FAT][:, inside].sum(0).mean()) > 0.85


@pytest.mark.parametrize("name", ["meniscal_tear", "cartilage_defect"])
def test_tears_and_defects_are_brighter_than_what_they_replace(name: str, through: Through) -> None:
    for place in PLACES[name]:
        sheet = through(lesion(name, place))
        pd, pdfs = change(sheet, sheet.with_lesion(lesion(name, place)))
        assert pdfs > 0.05 and pd > 0.02, place


def test_a_torn_ligament_is_brighter_and_its_surroundings_swell(through: Through) -> None:
    for place in PLACES["ligament_tear"]:
        sheet = through(lesion("ligament_tear", place))
        ill = sheet.with_lesion(lesion("ligament_tear", place))
        own = sheet.sample.labels == LABEL[place + "_ligament"]
        for structure in (own & (ill.lesion > 0.3), ~own & (ill.lesion > 0.3)):
            assert int(structure.sum()) > 5, place
            assert float((images(ill)[1] - images(sheet.sample)[1])[structure].mean()) > 0.05, place


def test_metal_gives_no_signal(through: Through) -> None:
    for place in PLACES["metal"]:
        sheet = through(lesion("metal", place))
        ill = sheet.with_lesion(lesion("metal", place))
        inside = ill.shares[INDEX["metal"]] > 0.999
        assert int(inside.sum()) > 5
        assert max(float(image[inside].max()) for image in images(ill)) < 1e-3


# -- where it may be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["meniscal_tear", "cartilage_defect"])
def test_tears_keep_to_their_own_structure(name: str, through: Through) -> None:
    for place, where in PLACES[name].items():
        sheet = through(lesion(name, place))
        found = sheet.with_lesion(lesion(name, place)).lesion > 0.6
        assert set(sheet.sample.labels[found].tolist()) == {LABEL[where.structure]}, place


def test_a_tear_reaches_a_surface_of_the_meniscus(through: Through) -> None:
    for place, where in PLACES["meniscal_tear"].items():
        reached = 0
        for seed in range(8):
            drawn = lesion("meniscal_tear", place, seed=seed)
            sheet = through(drawn)
            structure = sheet.sample.labels == LABEL[where.structure]
            outside = (~structure).float()[None, None]
            neighbours = torch.nn.functional.max_pool2d(outside, 3, stride=1, padding=1)[0, 0] > 0
            reached += bool(((sheet.with_lesion(drawn).lesion > 0.3) & neighbours).any())
        assert reached >= 7, place


def test_the_depth_of_a_cartilage_defect_follows_its_strength(through: Through) -> None:
    cartilage = [INDEX["cartilage_deep"], INDEX["cartilage_superficial"]]
    left = []
    for strength in (0.2, 0.5, 1.0):
        drawn = lesion("cartilage_defect", "medial_femoral_condyle", strength=strength)
        sheet, crater = through(drawn), lesion_of(drawn)
        assert isinstance(crater, LocalLesion)
        core = ((sheet.q[1] - crater.centre[1]).abs() < 3) & (sheet.sample.labels == LABEL["femoral_cartilage"])
        ill, healthy = sheet.with_lesion(drawn).shares, sheet.sample.shares
        left.append(float(ill[cartilage].sum(0)[core].sum() / healthy[cartilage].sum(0)[core].sum()))
    assert left[0] > 0.7 and 0.3 < left[1] < 0.75 and left[2] < 0.1


def test_an_effusion_spares_bone_cartilage_ligament_muscle_and_skin(sheet: Callable[..., Sheet]) -> None:
    solid = (
        "femur", "tibia", "patella", "femoral_cartilage", "patellar_cartilage", "medial_meniscus", "muscle", "skin",
        "anterior_cruciate_ligament", "posterior_cruciate_ligament", "subcutaneous_fat",
    )  # fmt: skip
    seen = set()
    for plane, at in (("sagittal", 2.0), ("axial", 30.0), ("coronal", -5.0)):
        healthy = sheet(plane, at)
        ill = healthy.with_lesion(lesion("effusion", "joint", size=20.0))
        for name in solid:
            inside = healthy.sample.labels == LABEL[name]
            if inside.any():
                seen.add(name)
                assert float(ill.lesion[inside].mean()) < 0.1, (
                    plane,
                    name,
                )  # boundary points hold some fat of the joint
    assert seen == set(solid)


def test_a_baker_cyst_lies_behind_the_medial_condyle_and_reaches_the_joint(sheet: Callable[..., Sheet]) -> None:
    drawn = lesion("baker_cyst", "popliteal")
    for plane, at in (("axial", 10.0), ("axial", 13.0)):
        section = sheet(plane, at)
        found = section.with_lesion(drawn).lesion > 0.5
        assert bool(found.any())
        x, y, _ = section.q[:, found]
        assert float(x.max()) < 0 and float(y.min()) > 12


def test_blood_lies_in_levels_with_fat_in_front(through: Through) -> None:
    drawn = lesion("lipohaemarthrosis", "joint")
    sheet = through(drawn)
    gained = (sheet.with_lesion(drawn).shares - sheet.sample.shares).clamp_min(0)
    pouch = sheet.q[2] > 40

    def depth(name: str) -> float:
        weight = gained[INDEX[name]] * pouch
        return float((weight * sheet.q[1]).sum() / weight.sum())

    assert depth("subcutaneous_fat") < depth("fluid") < depth("blood")
