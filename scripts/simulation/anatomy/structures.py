# SPDX-License-Identifier: Apache-2.0
"""The structures that label maps tell apart. A structure is a place; what it is made of are compartments."""

from __future__ import annotations

STRUCTURES: tuple[str, ...] = (
    "background",
    "skin",
    "subcutaneous_fat",
    "fascia",
    "femur",
    "tibia",
    "patella",
    "fibula",
    "femoral_cartilage",
    "medial_tibial_cartilage",
    "lateral_tibial_cartilage",
    "patellar_cartilage",
    "medial_meniscus",
    "lateral_meniscus",
    "anterior_cruciate_ligament",
    "posterior_cruciate_ligament",
    "medial_collateral_ligament",
    "lateral_collateral_ligament",
    "quadriceps_tendon",
    "patellar_tendon",
    "tendon",  # iliotibial band, hamstrings, retinacula
    "fat_pad",  # Hoffa's, suprapatellar, prefemoral
    "joint_fluid",
    "synovium",
    "muscle",
    "intermuscular_fat",  # popliteal fossa and the planes between bellies
    "artery",
    "vein",
    "nerve",
    "cyst",
    "lipoma",
    "metal",
    "shape",  # of a random, non-anatomical scene
)
LABEL: dict[str, int] = {name: index for index, name in enumerate(STRUCTURES)}
"""Value of each structure in a label map; 0 is what lies outside the body."""
