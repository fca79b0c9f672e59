# SPDX-License-Identifier: Apache-2.0
"""Where lesions sit in the standard right knee: x to the lateral side, y to the back, z to the head [mm]."""

from __future__ import annotations

from dataclasses import dataclass

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
    "medial_femoral_condyle": Place((-21, 4, 3), (4, 6, 1.5)),
    "lateral_femoral_condyle": Place((21, 3, 4), (4, 5, 1.5)),
    "lateral_femoral_sulcus": Place((22, -17, 9), (4, 3, 3)),  # pivot shift: where it hits the hind tibia
    "lateral_trochlea": Place((30, -24, 26), (3, 3, 5)),  # dislocation of the patella
    "medial_tibial_plateau": Place((-22, 4, -8), (5, 6, 2)),
    "lateral_tibial_plateau": Place((22, 3, -8), (5, 6, 2)),
    "posterolateral_tibia": Place((22, 19, -10), (4, 2, 2)),
    "tibial_spine": Place((-1, -3, -8), (3, 4, 2)),  # foot of the anterior cruciate ligament
    "intercondylar_roof": Place((9, 14, 21), (2, 3, 3)),  # its upper end
    "medial_patella": Place((-13, -46, 29), (3, 2, 5)),
    "patellar_apex": Place((1, -51, 14), (2, 2, 2)),
}
_CARTILAGE = {
    "medial_femoral_condyle": Place((-21, 2, -1), (4, 8, 0), (0, 0, -1), "femoral_cartilage"),
    "lateral_femoral_condyle": Place((21, 2, -1), (4, 8, 0), (0, 0, -1), "femoral_cartilage"),
    "trochlea": Place((1, -28, 28), (8, 0, 5), (0, -1, 0), "femoral_cartilage"),
    "medial_patella": Place((-9, -40, 30), (3, 0, 5), (-0.3, 0.95, 0), "patellar_cartilage"),
    "lateral_patella": Place((11, -40, 30), (3, 0, 5), (0.3, 0.95, 0), "patellar_cartilage"),
    "medial_tibia": Place((-20, 3, -3), (4, 6, 0), (0, 0, 1), "medial_tibial_cartilage"),
    "lateral_tibia": Place((20, 3, -3), (4, 6, 0), (0, 0, 1), "lateral_tibial_cartilage"),
}
# Menisci: the centre is that of the ring; `direction` is (angle [rad], half-axes along x and y [mm]); the angle counts
# from the outer side (0) to the back (1.57).
_MENISCUS = {
    "medial_posterior_horn": Place((-18, -2, 0), (0, 0, 0), (1.15, 18, 22), "medial_meniscus"),
    "medial_body": Place((-18, -2, 0), (0, 0, 0), (0.2, 18, 22), "medial_meniscus"),
    "lateral_posterior_horn": Place((19, -2, 0), (0, 0, 0), (1.2, 15, 18), "lateral_meniscus"),
    "lateral_body": Place((19, -2, 0), (0, 0, 0), (0.0, 15, 18), "lateral_meniscus"),
    "lateral_anterior_horn": Place((19, -2, 0), (0, 0, 0), (-1.1, 15, 18), "lateral_meniscus"),
}
# Ligaments: the centre is where it tears; `direction` runs along its fibres.
_LIGAMENT = {
    "anterior_cruciate": Place((4, 3, 8), (0.5, 3, 3), (0.33, 0.77, 0.55), "anterior_cruciate_ligament"),
    "posterior_cruciate": Place((-3, 20, 4), (0.5, 3, 4), (-0.15, -0.55, 0.82), "posterior_cruciate_ligament"),
    "medial_collateral": Place((-38, 0, 14), (0.5, 1, 10), (0.07, -0.11, -0.99), "medial_collateral_ligament"),
    "lateral_collateral": Place((36, 12, 6), (0.5, 1, 8), (-0.05, 0.34, -0.94), "lateral_collateral_ligament"),
}

PLACES: dict[str, dict[str, Place]] = {
    "oedema": _BONE,
    "red_marrow": {
        "femur": Place((0, -4, 52), (6, 3, 5)),
        "tibia": Place((0, 4, -42), (5, 3, 5)),
    },
    "effusion": {"joint": Place((0, 0, 30))},
    "lipohaemarthrosis": {"joint": Place((0, 0, 30))},
    "baker_cyst": {"popliteal": Place((-25, 42, 6), (1.5, 1, 4))},
    "ganglion_cyst": {
        "cruciate": Place((3, 14, 8), (2, 4, 4)),
        "hoffa": Place((4, -28, 2), (8, 3, 5)),
        "medial_joint_line": Place((-40, 10, -2), (1, 6, 2)),  # beside a torn meniscus
        "lateral_joint_line": Place((40, 4, -2), (1, 6, 2)),
        "tibiofibular": Place((36, 14, -26), (2, 3, 4)),
    },
    "meniscal_tear": _MENISCUS,
    "cartilage_defect": _CARTILAGE,
    "ligament_tear": _LIGAMENT,
    "fat_oedema": {
        "superolateral_hoffa": Place((12, -44, 10), (4, 2, 4)),
        "hoffa": Place((0, -34, 2), (8, 4, 7)),
        "prepatellar": Place((1, -66, 22), (6, 1, 8)),
        "medial": Place((-46, 2, 0), (2, 8, 14)),
        "popliteal": Place((2, 42, 20), (6, 3, 12)),
    },
    "lipoma": {
        "medial_thigh": Place((-36, -14, 66), (4, 6, 10)),
        "lateral_thigh": Place((36, -16, 66), (4, 6, 10)),
        "calf": Place((-18, 46, -40), (8, 3, 10)),
        "popliteal": Place((4, 42, 30), (5, 3, 10)),
    },
    "metal": {
        "cruciate_screws": Place((4, 2, 6)),
        "tibial_staple": Place((-12, -16, -34), (4, 1, 4)),
        "tibial_plateau_screws": Place((0, 2, -18), (0, 3, 2)),
    },
}
"""Places of each kind of lesion."""
