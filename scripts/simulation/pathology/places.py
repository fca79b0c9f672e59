# SPDX-License-Identifier: Apache-2.0
"""Where lesions sit in the standard right knee: x to the lateral side, y to the back, z to the head [mm]."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.simulation.anatomy.menisci import LATERAL, MEDIAL

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """One place.

    Args:
        centre: of the lesions there [mm].
        spread: standard deviation of the centre along x, y, z [mm]; cut at one and a half.
        direction: what the kind needs to know of the place: the surface's outward normal, or a long axis.
        structure: the structure that lesions there act on, where it is one.
    """

    centre: Vector
    spread: Vector = (0.0, 0.0, 0.0)
    direction: Vector = (0.0, 0.0, 1.0)
    structure: str = ""


_BONE = {
    "medial_femoral_condyle": Place((-22, -4, 5), (3, 7, 1.5)),
    "lateral_femoral_condyle": Place((20, -4, 5), (3, 6, 1.5)),
    "lateral_femoral_sulcus": Place((21, -25, 10), (3, 2, 2)),  # pivot shift: where it hits the hind tibia
    "lateral_trochlea": Place((25, -30, 29), (2, 2, 4)),  # dislocation of the patella
    "medial_tibial_plateau": Place((-20, -4, -11), (4, 5, 1.5)),
    "lateral_tibial_plateau": Place((19, 0, -10), (4, 5, 1.5)),
    "posterolateral_tibia": Place((20, 13, -11), (3, 1.5, 1.5)),
    "tibial_spine": Place((-1, -7, -9), (2, 3, 2)),  # foot of the anterior cruciate ligament
    "intercondylar_roof": Place((11, 6, 20), (1.5, 2, 2)),  # its upper end
    "medial_patella": Place((-1, -50, 31), (1.5, 1, 4)),
    "patellar_apex": Place((8, -54, 19), (2, 1, 1)),
}
_CARTILAGE = {
    "medial_femoral_condyle": Place((-21, -4, -1), (3, 8, 0), (0, 0, -1), "femoral_cartilage"),
    "lateral_femoral_condyle": Place((20, -5, -1), (3, 8, 0), (0, 0, -1), "femoral_cartilage"),
    "trochlea": Place((6, -40, 22), (4, 0, 2), (0, -1, 0), "femoral_cartilage"),
    "medial_patella": Place((-1, -46, 32), (1.5, 0, 3), (-0.5, 0.85, 0), "patellar_cartilage"),
    "lateral_patella": Place((16, -46, 32), (3, 0, 3), (0.2, 0.98, 0), "patellar_cartilage"),
    "medial_tibia": Place((-18, -4, -3), (3, 6, 0), (0, 0, 1), "medial_tibial_cartilage"),
    "lateral_tibia": Place((17, 3, -3), (3, 5, 0), (0, 0, 1), "lateral_tibial_cartilage"),
}
# Menisci: the centre is that of the rim; `direction` is (angle [rad], half-axes along x and y [mm]); the angle counts
# from the outer side (0) to the back (1.57).
_RIMS = {"medial": MEDIAL.outer, "lateral": LATERAL.outer}
_MENISCUS = {
    f"{side}_{part}": Place(
        (_RIMS[side][0], _RIMS[side][1], 0), (0, 0, 0), (angle, _RIMS[side][2], _RIMS[side][3]), f"{side}_meniscus"
    )
    for side, part, angle in (
        ("medial", "posterior_horn", 1.25),
        ("medial", "body", 0.2),
        ("lateral", "posterior_horn", 1.25),
        ("lateral", "body", 0.1),
        ("lateral", "anterior_horn", -0.8),
    )
}
# Ligaments: the centre is where it tears; `direction` runs along its fibres.
_LIGAMENT = {
    "anterior_cruciate": Place((1.2, -1.5, 9), (0, 1.5, 2.5), (0.2, 0.55, 0.81), "anterior_cruciate_ligament"),
    "posterior_cruciate": Place((-3, 13, 8), (0, 1.5, 2.5), (0.1, 0.55, -0.83), "posterior_cruciate_ligament"),
    "medial_collateral": Place((-37, -7, 10), (0, 1, 8), (0, 0, 1), "medial_collateral_ligament"),
    "lateral_collateral": Place((34.5, 7, 2), (0, 1, 4), (0.06, 0.48, -0.88), "lateral_collateral_ligament"),
}

PLACES: dict[str, dict[str, Place]] = {
    "oedema": _BONE,
    "red_marrow": {
        "femur": Place((0, -18, 52), (4, 2, 4)),
        "tibia": Place((0, -4, -42), (4, 2, 4)),
    },
    "effusion": {"joint": Place((0, 0, 30))},
    "lipohaemarthrosis": {"joint": Place((0, 0, 30))},
    "baker_cyst": {"popliteal": Place((-25, 42, 6), (1.5, 1, 4))},
    "ganglion_cyst": {
        "cruciate": Place((2, -13, 8), (2, 2, 2)),
        "hoffa": Place((4, -34, 2), (7, 3, 5)),
        "medial_joint_line": Place((-40, 10, -2), (1, 6, 2)),  # beside a torn meniscus
        "lateral_joint_line": Place((40, 4, -2), (1, 6, 2)),
        "tibiofibular": Place((35, 6, -25), (1, 2, 4)),
    },
    "meniscal_tear": _MENISCUS,
    "cartilage_defect": _CARTILAGE,
    "ligament_tear": _LIGAMENT,
    "fat_oedema": {
        "superolateral_hoffa": Place((19, -44, 15), (3, 2, 3)),
        "hoffa": Place((4, -36, 4), (7, 4, 6)),
        "prepatellar": Place((8, -64, 24), (6, 1, 7)),
        "medial": Place((-46, 2, 0), (2, 8, 14)),
        "popliteal": Place((2, 42, 20), (6, 3, 12)),
    },
    "lipoma": {
        "medial_thigh": Place((-32, -12, 66), (4, 6, 10)),
        "lateral_thigh": Place((33, -14, 66), (4, 6, 10)),
        "calf": Place((-18, 46, -40), (8, 3, 10)),
        "popliteal": Place((4, 42, 30), (5, 3, 10)),
    },
    "metal": {
        "cruciate_screws": Place((2, 0, 8), (0.5, 1, 1.5)),
        "tibial_staple": Place((-12, -16, -34), (4, 1, 4)),
        "tibial_plateau_screws": Place((0, -3, -18), (0, 2, 2)),
    },
}
"""Places of each kind of lesion."""
