# SPDX-License-Identifier: Apache-2.0
"""All kinds of lesions: how they are drawn, and what is made of what was drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from scripts.simulation.pathology.base import Lesion, LesionParameters, LocalLesion
from scripts.simulation.pathology.fluid import BakerCyst, BloodyEffusion, Effusion, GanglionCyst
from scripts.simulation.pathology.marrow import FatOedema, Oedema, RedMarrow
from scripts.simulation.pathology.masses import Lipoma, Metal, MetalPiece
from scripts.simulation.pathology.places import PLACES
from scripts.simulation.pathology.tears import CartilageDefect, LigamentTear, MeniscalTear
from scripts.simulation.ranges import Ranges

KINDS: dict[str, type[LocalLesion]] = {
    # In the order in which they are put into the knee: later ones hide earlier ones.
    "red_marrow": RedMarrow,
    "oedema": Oedema,
    "fat_oedema": FatOedema,
    "effusion": Effusion,
    "lipohaemarthrosis": BloodyEffusion,
    "cartilage_defect": CartilageDefect,
    "meniscal_tear": MeniscalTear,
    "ligament_tear": LigamentTear,
    "baker_cyst": BakerCyst,
    "ganglion_cyst": GanglionCyst,
    "lipoma": Lipoma,
    "metal": Metal,
}
"""The class of each kind of lesion."""
FREE = "free"
"""Key of the chance that a knee has no lesion."""
DECOYS = ("red_marrow",)
"""Kinds that are normal and only look like a lesion."""


def lesion_of(parameters: LesionParameters) -> Lesion:
    """The lesion that the parameters describe."""
    return KINDS[parameters.name](parameters)


def draw_lesions(ranges: Ranges) -> tuple[LesionParameters, ...]:
    """Draw the lesions of one knee.

    Args:
        ranges: the preset's section ``lesions``: ``free``, the chance (0..1) of a knee without lesions, decoys apart;
            then for each kind ``chance`` (0..1; 1 even in a knee that is free), ``count``, ``size`` [mm], ``strength``
            (0..1) and ``place`` (weights by place). A kind that is not named does not occur.

    Returns:
        What was drawn, in the order in which it is applied. Each kind, and each lesion of a kind, draws from a stream
        of its own: changing or deleting one leaves all others as they were.

    Raises:
        ValueError: for a kind or a place that does not exist, or a size or strength out of range.
    """
    for name in ranges.spec:
        if name not in KINDS and name != FREE:
            raise ValueError(f"{ranges.path}/{name} is no kind of lesion; choose among {', '.join(KINDS)}.")
    free = FREE in ranges.spec and ranges.happens(FREE)
    drawn: list[LesionParameters] = []
    for name in (name for name in KINDS if name in ranges.spec):
        section = ranges.section(name)
        places = section.spec.get("place", {})
        if unknown := set(places) - set(PLACES[name]):
            raise ValueError(
                f"{section.path}/place has no {', '.join(sorted(unknown))}; choose among {', '.join(PLACES[name])}."
            )
        chance, count = section.value("chance"), int(section.value("count"))
        there = chance >= 1 or (section.uniform() < chance and (name in DECOYS or not free))
        for number in range(count if there else 0):
            own = Ranges(section.spec, section.seed, f"{section.path}/{number}")
            size, strength, place = own.value("size"), own.value("strength"), own.choose("place")
            seed = int(torch.randint(2**31, (), generator=own.generator))
            drawn.append(LesionParameters(name, place, size, strength, seed))
    return tuple(drawn)


def metal_pieces(lesions: Sequence[Lesion]) -> tuple[MetalPiece, ...]:
    """The metal in a knee, in the frame of the standard knee: what the scanner needs to disturb the field around it."""
    return tuple(piece for lesion in lesions if isinstance(lesion, Metal) for piece in lesion.pieces)
