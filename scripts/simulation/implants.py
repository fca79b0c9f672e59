# SPDX-License-Identifier: Apache-2.0
"""What the metal in a knee does to the field it is scanned in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from scripts.simulation.anatomy.frame import Frame
from scripts.simulation.pathology.base import Lesion
from scripts.simulation.pathology.catalogue import metal_pieces
from scripts.simulation.scanner.field import Dipole
from scripts.simulation.scanner.scan import Environment
from scripts.simulation.signal import GYROMAGNETIC_RATIO

SUSCEPTIBILITY = 190e-6
"""Volume susceptibility of titanium relative to tissue: 182 and -9 ppm (Schenck, Med Phys 1996;23:815)."""


def with_implants(environment: Environment, lesions: Sequence[Lesion], frame: Frame) -> Environment:
    """The surroundings of a study with the field of the metal among its lesions.

    Args:
        environment: as drawn.
        lesions: of the knee; those that are no metal change nothing.
        frame: from the knee to the scanner.

    Returns:
        The environment with a dipole per ball of metal, of height ``susceptibility / 3`` times the Larmor frequency.
    """
    balls = [ball for piece in metal_pieces(lesions) for ball in piece.spheres()]
    if not balls:
        return environment
    centres = frame.to_scanner(torch.tensor([centre for centre, _ in balls]).T).T.tolist()
    height = SUSCEPTIBILITY / 3 * GYROMAGNETIC_RATIO * environment.field_strength
    dipoles = tuple(Dipole((x, y, z), radius, height) for (x, y, z), (_, radius) in zip(centres, balls, strict=True))
    return replace(environment, field=replace(environment.field, dipoles=environment.field.dipoles + dipoles))
