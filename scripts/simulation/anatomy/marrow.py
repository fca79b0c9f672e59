# SPDX-License-Identifier: Apache-2.0
"""What fills the bones: cortex, trabeculae, fatty and red marrow, vessels, the scar of the growth plate."""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.anatomy.bones import Bones
from scripts.simulation.anatomy.canvas import Material


def cortex_thickness(q: Tensor, wave: Tensor) -> Tensor:
    """Cortical shell [mm]: about .7 under cartilage, 3 to 4.5 at the shafts.

    Args:
        q: points of the standard knee, ``(3, ...)`` [mm].
        wave: smooth field of unit variance.
    """
    height = q[2]
    shaft = torch.sigmoid((height - 58) / 9) + torch.sigmoid((-42 - height) / 9)
    return (0.75 + 3.0 * shaft + 0.22 * wave).clamp_min(0.4)


def marrow(
    q: Tensor, bones: Bones, red: float, texture: float, wide: Tensor, wave: Tensor, grain: Tensor, vessel: Tensor
) -> Material:
    """What marrow is made of at each point.

    Args:
        q: points of the standard knee, ``(3, ...)`` [mm].
        bones: the bones at these points.
        red: share of the metaphyses' marrow that is red, 0..1.
        texture: strength of the trabecular texture, 1 usual.
        wide: smooth fields of unit variance and some 25 mm, ``(2, ...)``.
        wave: smooth fields of unit variance and some 8 mm, ``(2, ...)``.
        grain: fields of unit variance: fine and coarse trabeculae, ``(2, ...)``.
        vessel: how close a nutrient vessel is, 0..1.
    """
    z = q[2]
    # Epiphyses are dense with trabeculae, the middle of a shaft has none.
    epiphysis = torch.sigmoid((32 - z.abs()) / 8)
    trabeculae = texture * (0.6 + 0.4 * epiphysis)
    speckle = (grain[0] - 0.6).clamp_min(0)  # trabeculae darken, so the texture is skewed
    density = 0.97 - trabeculae * (0.55 * speckle + 0.05 * grain[0] + 0.08 * grain[1] + 0.01 * wave[1])
    under_surface = torch.minimum(bones.femur, bones.tibia)
    density = density - 0.10 * texture * torch.exp(-((under_surface + 1.5) / 2.2).square())  # denser below the plate
    scar = torch.exp(-((z - 25 - 2.5 * wave[0] - 1.2 * wide[1]) / 0.75).square()) * (bones.femur < 0)
    scar = scar + torch.exp(-((z + 17 - 2.0 * wave[0] - 1.0 * wide[1]) / 0.70).square()) * (bones.tibia < 0)
    scar = (scar * (0.45 + 0.25 * wave[1])).clamp(0, 0.8)
    vessel = vessel * torch.sigmoid((44 - z.abs()) / 8)
    density = (density * (1 - 0.40 * scar) * (1 - 0.55 * vessel)).clamp(0.05, 1)
    flame = torch.sigmoid((z.abs() - 33 + 9 * wide[1] + 6 * wave[0]) / 4)
    islands = torch.sigmoid((wide[0] + 0.5 * wave[1] - 0.4) / 0.3)
    water = 0.04 + 0.012 * wide[0] + red * flame * (0.30 + 0.35 * islands) + 0.35 * vessel
    water = water.clamp(0.01, 0.8)
    return {"marrow_fat": density * (1 - water), "marrow_water": density * water}
