# SPDX-License-Identifier: Apache-2.0
"""How well a lesion's contrast on PDFS follows from what lies there: what a synthesis that knows the knee could reach.

No synthesis knows the protocol of the PDFS that it is compared with. If other protocols gave a lesion another contrast,
a slope of 1 could not be asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scripts.metrics.lesion import LesionContrast, contrast_recovery, lesion_contrast
from scripts.study.knees import Twins, rescanned


@dataclass(frozen=True)
class Foreseen:
    """Contrast under other protocols on contrast under the knee's own, for one kind of lesion.

    Args:
        kind: of lesion.
        lesions: how many.
        slope: of the line.
        low: of its 95 % interval.
        high: of it.
    """

    kind: str
    lesions: int
    slope: float
    low: float
    high: float


def foreseen(pairs: Iterable[Twins], scans: int = 3) -> list[Foreseen]:
    """Scan each knee with other protocols, and compare the mean contrast of its lesion with its own.

    Args:
        pairs: close-ups, at least two of each kind.
        scans: protocols for each knee.
    """
    found: dict[str, list[LesionContrast]] = {}
    for pair in pairs:
        own = lesion_contrast((pair.targets[0][1], pair.targets[1][1]), pair.lesion)
        others = [lesion_contrast(images, pair.lesion) for images in rescanned(pair, scans)]
        contrast = LesionContrast(pair.patient, own, sum(others) / len(others), visibility=0.0)
        found.setdefault(pair.kind, []).append(contrast)
    lines = []
    for kind, contrasts in found.items():
        slope = contrast_recovery(contrasts).slope
        lines.append(Foreseen(kind, len(contrasts), slope.mean, slope.low, slope.high))
    return lines
