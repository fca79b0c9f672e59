# SPDX-License-Identifier: Apache-2.0
"""Drawing lesions: what is refused, and that one lesion's draw is none of another's business."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from scripts.simulation.pathology.base import LesionParameters
from scripts.simulation.pathology.catalogue import DECOYS, KINDS, draw_lesions, lesion_of, metal_pieces
from scripts.simulation.pathology.places import PLACES
from scripts.simulation.ranges import Ranges
from scripts.simulation.records import as_plain, from_plain

OEDEMA = {
    "chance": 1,
    "count": 2,
    "size": [5, 30],
    "strength": [0.2, 1],
    "place": {"medial_patella": 1, "tibial_spine": 1},
}
CYST = {"chance": 0.5, "count": 1, "size": [15, 50], "strength": 1, "place": {"popliteal": 1}}
RED = {"chance": 0.5, "count": 1, "size": [15, 50], "strength": 1, "place": {"femur": 1}}


def draw(spec: dict[str, Any], seed: int = 1) -> tuple[LesionParameters, ...]:
    return draw_lesions(Ranges(spec, seed, "/lesions"))


def of(name: str, drawn: tuple[LesionParameters, ...]) -> list[LesionParameters]:
    return [one for one in drawn if one.name == name]


def test_every_kind_has_places_and_a_class() -> None:
    assert set(KINDS) == set(PLACES)
    for name, places in PLACES.items():
        for place in places:
            assert lesion_of(LesionParameters(name, place, 10.0, 0.5, 1)).parameters.place == place


def test_unknown_kinds_and_places_are_refused_with_the_choice() -> None:
    with pytest.raises(ValueError, match=r"'migraine' is unknown; choose one of .*oedema"):
        LesionParameters("migraine", "joint", 5.0, 1.0, 0)
    with pytest.raises(ValueError, match="no place 'elbow'; choose one of popliteal"):
        LesionParameters("baker_cyst", "elbow", 5.0, 1.0, 0)
    with pytest.raises(ValueError, match=r"migraine is no kind of lesion; choose among .*oedema"):
        draw({"migraine": OEDEMA})
    with pytest.raises(ValueError, match="has no elbow; choose among popliteal"):
        draw({"baker_cyst": CYST | {"place": {"elbow": 1}}})


@pytest.mark.parametrize(
    ("size", "strength", "message"),
    [
        (-1.0, 1.0, "size of -1 mm"),
        (math.nan, 1.0, "size of nan"),
        (math.inf, 1.0, "size"),
        (5.0, 1.2, "strength of 1.2"),
        (5.0, -0.1, "strength of -0.1"),
        (5.0, math.nan, "strength"),
    ],
)
def test_sizes_and_strengths_out_of_range_are_refused(size: float, strength: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LesionParameters("oedema", "medial_patella", size, strength, 0)


def test_a_seed_means_the_same_lesions() -> None:
    spec = {"oedema": OEDEMA, "baker_cyst": CYST}
    assert draw(spec, 7) == draw(spec, 7)
    assert draw(spec, 7) != draw(spec, 8)


def test_one_lesion_changes_no_other() -> None:
    for seed in range(20):
        both = draw({"oedema": OEDEMA, "baker_cyst": CYST}, seed)
        assert of("oedema", both) == list(draw({"oedema": OEDEMA}, seed))
        fewer = draw({"oedema": OEDEMA | {"count": 1}, "baker_cyst": CYST}, seed)
        assert of("oedema", fewer) == of("oedema", both)[:1]
        assert of("baker_cyst", fewer) == of("baker_cyst", both)


def test_the_chance_of_a_lesion_is_not_its_appearance() -> None:
    for seed in range(20):
        seldom, always = draw({"baker_cyst": CYST}, seed), draw({"baker_cyst": CYST | {"chance": 1}}, seed)
        assert len(always) == 1 and seldom in ((), always)


def test_chances_hold() -> None:
    drawn = [draw({"baker_cyst": CYST | {"chance": 0.3}}, seed) for seed in range(1000)]
    assert abs(sum(map(bool, drawn)) / 1000 - 0.3) < 0.05


def test_free_knees_have_decoys_and_what_is_certain_only() -> None:
    spec = {"free": 0.5, "baker_cyst": CYST | {"chance": 0.999}, "red_marrow": RED}
    drawn = [draw(spec, seed) for seed in range(600)]
    free = [one for one in drawn if not of("baker_cyst", one)]
    assert abs(len(free) / 600 - 0.5) < 0.07
    assert abs(sum(bool(of("red_marrow", one)) for one in free) / len(free) - 0.5) < 0.1
    assert DECOYS == ("red_marrow",)
    assert all(len(of("oedema", draw({"free": 1.0, "oedema": OEDEMA}, seed))) == 2 for seed in range(5))


def test_lesions_survive_json() -> None:
    for drawn in draw({"oedema": OEDEMA}):
        assert from_plain(LesionParameters, json.loads(json.dumps(as_plain(drawn)))) == drawn


def test_the_balls_of_a_screw_hold_its_volume_and_lie_along_it() -> None:
    screws = lesion_of(LesionParameters("metal", "tibial_plateau_screws", 7.0, 1.0, 3))
    for piece in metal_pieces([screws]):
        length = math.dist(piece.start, piece.end)
        rod = math.pi * piece.radius**2 * (length + 4 / 3 * piece.radius)
        balls = piece.spheres()
        assert sum(4 / 3 * math.pi * radius**3 for _, radius in balls) == pytest.approx(rod)
        assert len(balls) > 2
        for centre, _ in balls:
            detour = math.dist(piece.start, centre) + math.dist(centre, piece.end)
            assert detour == pytest.approx(length, abs=1e-6)
    off = lesion_of(LesionParameters("metal", "tibial_plateau_screws", 7.0, 0.0, 3))
    assert metal_pieces([off]) == ()
    assert metal_pieces([lesion_of(LesionParameters("oedema", "medial_patella", 9.0, 1.0, 3))]) == ()
