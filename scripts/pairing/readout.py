# SPDX-License-Identifier: Apache-2.0
"""Where fat lies on PD by its header: along the readout, by the chemical shift over the bandwidth of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.pairing.copies import FARTHEST_FAT, Fat
from scripts.transforms.align import Grid

_SHIFT = 3.4e-6  # of the main line of fat from water; de Graaf, In Vivo NMR Spectroscopy
_GYROMAGNETIC = 42.577e6  # of protons [Hz/T]
_LEAST, _MOST = 0.8, 2.2  # of the displacement by the header: images are interpolated, up to twofold
_SURE = 0.9  # cosine from which an axis of the picture is the readout


@dataclass(frozen=True)
class Readout:
    """How PD was read out.

    Args:
        direction: unit vector of the readout, RAS.
        bandwidth: of a pixel [Hz].
        field_strength: [T].
    """

    direction: tuple[float, float, float]
    bandwidth: float
    field_strength: float


def fat_of(readout: Readout | None, grid: Grid, pixel_mm: float) -> Fat:
    """What is known of the displacement of fat on PD.

    Args:
        readout: None where no header tells.
        grid: of PD.
        pixel_mm: of the grid on which it is looked for.
    """
    if readout is None or not 50 <= readout.bandwidth <= 2000 or not 0.1 <= readout.field_strength <= 12:
        return Fat()
    along = np.array(readout.direction)
    cosines = [abs(float(along @ axis)) for axis in (grid.down, grid.right)]
    if max(cosines) < _SURE:
        return Fat()
    axis = int(np.argmax(cosines))
    pixels = _SHIFT * _GYROMAGNETIC * readout.field_strength / readout.bandwidth
    pixels *= grid.pixel_mm[1 - axis] / pixel_mm
    return Fat((axis,), min(_LEAST * pixels, FARTHEST_FAT), min(_MOST * pixels, FARTHEST_FAT))
