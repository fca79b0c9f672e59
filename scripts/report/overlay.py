# SPDX-License-Identifier: Apache-2.0
"""What may be laid over the synthesis in a report page: where it may be off, in a few colours with a legend."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OVERLAY_END = 100.0
"""Value that other viewers are asked to show white: all ranks, and half widths as large as muscle is bright."""
PER_UNIT = 0.01
"""Stored with the images, whose levels end at 4.095 in steps of 0.001 or a few: 409 percent in steps of 0.1."""

# From yellow over orange to magenta: told apart on grey in either theme and with either red-green weakness.
_COLOURS = ((255, 224, 102), (255, 145, 40), (230, 40, 120))
_OPACITY = (0.22, 0.38, 0.55)
CALIBRATED_BANDS = (50.0, 100.0, 200.0)
RANK_BANDS = (80.0, 90.0, 97.0)


@dataclass(frozen=True)
class Overlay:
    """Values laid over the synthesis.

    Args:
        values: ``(slices, rows, columns)`` like the synthesis, not negative; 0 where nothing is said.
        unit: in a few words.
        calibrated: whether they are sizes of errors; otherwise ranks, 0 to 100.
    """

    values: NDArray[np.float32]
    unit: str
    calibrated: bool

    @property
    def stack(self) -> NDArray[np.float32]:
        """The values as they are packed with the images."""
        return self.values * np.float32(PER_UNIT)

    def settings(self) -> dict[str, Any]:
        """What the page needs to draw it: bands from below, each with its colour, opacity and words."""
        edges = CALIBRATED_BANDS if self.calibrated else RANK_BANDS
        if self.calibrated:
            words = [f"\u00b1{low:g} to {high:g} %" for low, high in itertools.pairwise(edges)]
            words.append(f"over \u00b1{edges[-1]:g} %")
        else:
            words = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)]
            words.append(f"{edges[-1]:g} to 100")
        return {
            "unit": self.unit,
            "calibrated": self.calibrated,
            "perUnit": PER_UNIT,
            "sign": "\u00b1" if self.calibrated else "rank ",
            "suffix": " %" if self.calibrated else "",
            "bands": [
                {"from": low, "colour": list(colour), "opacity": opacity, "words": text}
                for low, colour, opacity, text in zip(edges, _COLOURS, _OPACITY, words, strict=True)
            ],
        }
