# SPDX-License-Identifier: Apache-2.0
"""The fixed display windows of PD and PDFS, and the scale they stand on.

Scale. Every image is divided by its own 99.5th percentile inside the body, and a network's output of 1.0 means the
99.5th percentile of the contrast it synthesises; stored integers are 1000 times that value. On this scale 0 is no
signal and 1.0 is about the brightest tissue that fills more than a few voxels: marrow and subcutaneous fat on PD,
joint fluid on PDFS. What lies above is vessels, coil flare and noise peaks.

Why fixed. A window taken from the percentiles of a result would stretch a failed result until it looks right: a
synthesis that is half as bright as it should be, or whose fat is not suppressed, would fill the grey scale all the
same. With one window per contrast, known before the result is, a bad result looks bad, and two reports can be laid
beside each other. ``wide`` shows what the fixed window clips; ``narrow`` spreads the low signal, where suppressed
marrow, muscle and menisci lie. Both start at 0 so that black keeps meaning no signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """A linear grey scale on the normalised scale: ``lower`` and below is black, ``upper`` and above is white.

    Args:
        lower: value shown black.
        upper: value shown white; greater than ``lower``.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not self.upper > self.lower:
            raise ValueError(f"window {self.lower} to {self.upper}: need an upper end above the lower one")

    @property
    def level(self) -> float:
        """The value shown mid-grey."""
        return (self.lower + self.upper) / 2

    @property
    def width(self) -> float:
        """The distance from black to white."""
        return self.upper - self.lower

    def apply(self, voxels: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Map values to grey 0..255, any shape, rounding to the nearest grey."""
        grey = (np.asarray(voxels, dtype=np.float32) - self.lower) * (255 / self.width)
        return np.rint(np.clip(grey, 0, 255)).astype(np.uint8)


#: Name of the preset that a report opens with.
DEFAULT = "fixed"

#: contrast -> preset name -> window; the order is the order in which the report offers them.
PRESETS: Mapping[str, Mapping[str, Window]] = MappingProxyType(
    {
        "PD": MappingProxyType({DEFAULT: Window(0.0, 1.0), "wide": Window(0.0, 1.6), "narrow": Window(0.0, 0.6)}),
        "PDFS": MappingProxyType({DEFAULT: Window(0.0, 1.0), "wide": Window(0.0, 1.6), "narrow": Window(0.0, 0.5)}),
    }
)


def fixed_window(contrast: str) -> Window:
    """The one window of a contrast, the same for every image of it.

    Args:
        contrast: ``"PD"`` or ``"PDFS"``.

    Raises:
        ValueError: for any other name.
    """
    if contrast not in PRESETS:
        raise ValueError(f"contrast {contrast!r} has no fixed window; need one of {', '.join(PRESETS)}")
    return PRESETS[contrast][DEFAULT]
