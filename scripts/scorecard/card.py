# SPDX-License-Identifier: Apache-2.0
"""All rows of one stack, from arrays alone: no file, no network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scripts.scorecard.contrast import (
    Measured,
    beside_muscle,
    coil_shading,
    marrow_unevenness,
    over,
    worst_suppression,
)
from scripts.scorecard.region_sets import MARROW, RegionSet
from scripts.scorecard.rows import CRITERIA, Row
from scripts.scorecard.steadiness import air_level, body_of, disagreement, edge_shift, flicker


def score(
    source: np.ndarray,
    synthesis: np.ndarray,
    regions: RegionSet | None = None,
    echo: np.ndarray | None = None,
    pixel_mm: float = 0.5,
) -> list[Row]:
    """Measure every row that can be measured.

    Args:
        source: PD, ``(D, H, W)`` in display orientation, 1.0 = its bright end.
        synthesis: PDFS made of it, same shape; 1.0 = the bright end of that contrast.
        regions: where which tissue lies; None leaves the rows that need it unmeasured.
        echo: PDFS made of another echo of the same knee, same shape; None leaves that row unmeasured.
        pixel_mm: mean pixel spacing [mm].

    Returns:
        One row for each of ``CRITERIA``, in their order.

    Raises:
        ValueError: shapes that differ, or values that are not finite.
    """
    for name, volume in (("synthesis", synthesis), ("other echo's synthesis", echo)):
        if volume is not None and volume.shape != source.shape:
            raise ValueError(f"{name} has shape {volume.shape}; need that of the source, {source.shape}")
        if volume is not None and not np.isfinite(volume).all():
            raise ValueError(f"{name} holds values that are not finite; nothing can be scored")
    found = {**_tissues(source, synthesis, regions, pixel_mm), **_anywhere(source, synthesis, echo)}
    rows = []
    for criterion in CRITERIA:
        measured = found.get(criterion.key)
        rows.append(Row(criterion, None) if measured is None else Row(criterion, measured.value, dict(measured.parts)))
    return rows


def _tissues(
    source: np.ndarray, synthesis: np.ndarray, regions: RegionSet | None, pixel_mm: float
) -> Mapping[str, Measured | None]:
    if regions is None:
        return {}
    shading = coil_shading(source, regions)
    return {
        "fat_to_muscle": beside_muscle(synthesis, regions, ("subcutaneous_fat",)),
        "marrow_to_muscle": beside_muscle(synthesis, regions, MARROW),
        "worst_suppression": worst_suppression(source, synthesis, regions),
        "marrow_unevenness": marrow_unevenness(source, synthesis, regions, pixel_mm),
        "cartilage_to_muscle": over(synthesis, shading, regions, "cartilage", "muscle"),
        "fluid_to_cartilage": over(synthesis, shading, regions, "fluid", "cartilage"),
        "meniscus_to_muscle": over(synthesis, shading, regions, "meniscus", "muscle"),
    }


def _anywhere(source: np.ndarray, synthesis: np.ndarray, echo: np.ndarray | None) -> Mapping[str, Measured | None]:
    body = body_of(source)
    return {
        "edge_shift": edge_shift(source, synthesis, body),
        "air": air_level(synthesis, body),
        "flicker": flicker(source, synthesis, body),
        "echo_disagreement": None if echo is None else disagreement(synthesis, echo, body),
    }
