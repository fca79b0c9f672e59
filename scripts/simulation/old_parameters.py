# SPDX-License-Identifier: Apache-2.0
"""What tells one simulated knee from another."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class KneeParameters:
    """Everything that tells one simulated knee from another besides its textures.

    Args:
        scale: overall size (1 is average).
        left: a left knee; the phantom itself is built as a right one.
        flexion: bend of the lower leg [rad].
        tilt: rotation of the whole knee about x, y, z [rad].
        shift: displacement of the whole knee [mm].
        fat_thickness: subcutaneous fat at the side of the joint [mm].
        muscle_bulk: relative girth of the muscles.
        fluid: thickness scale of the joint fluid (1 is physiological, 4 a large effusion).
        red_marrow: share of metaphyseal marrow turned red (0..1).
        oedema: strength of marrow oedema-like lesions (0 none .. 1).
        cartilage: thickness scale of the cartilage.
        baker_cyst: half-length of a popliteal cyst [mm], 0 for none.
    """

    scale: float
    left: bool
    flexion: float
    tilt: tuple[float, float, float]
    shift: tuple[float, float, float]
    fat_thickness: float
    muscle_bulk: float
    fluid: float
    red_marrow: float
    oedema: float
    cartilage: float
    baker_cyst: float


def draw_knee(generator: torch.Generator) -> KneeParameters:
    """Draw the parameters of one knee."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    def chance(share: float) -> bool:
        return uniform(0, 1) < share

    return KneeParameters(
        scale=uniform(0.88, 1.12),
        left=chance(0.5),
        flexion=uniform(0.0, 0.30),
        tilt=(uniform(-0.12, 0.12), uniform(-0.10, 0.10), uniform(-0.25, 0.25)),
        shift=(uniform(-6, 6), uniform(-6, 6), uniform(-12, 12)),
        fat_thickness=3 + 14 * uniform(0, 1) ** 2,
        muscle_bulk=uniform(0.85, 1.15),
        fluid=uniform(2.0, 5.0) if chance(0.35) else uniform(0.6, 1.6),
        red_marrow=uniform(0.2, 0.8) if chance(0.5) else 0.0,
        oedema=uniform(0.2, 1.0) if chance(0.4) else 0.0,
        cartilage=uniform(0.7, 1.2),
        baker_cyst=uniform(8, 22) if chance(0.15) else 0.0,
    )
