# SPDX-License-Identifier: Apache-2.0
"""What a trained network has to beat, measured as networks are: a function of the source for each knee."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from scripts.metrics.baselines import fit_histogram_match, fit_intensity_mapping, map_tissues
from scripts.metrics.tissue import tissue_masks
from scripts.simulation.anatomy.structures import STRUCTURES
from scripts.study.knees import Knee, Twins, body_of
from scripts.study.measure import (
    Measured,
    MeasuredLesion,
    Predict,
    measure_blobs,
    measure_images,
    measure_lesion,
    measure_noise,
    measured,
)

Fit = Callable[[Tensor, Tensor, Tensor], Callable[[Tensor], Tensor]]
"""Source, target and body, each ``(D, H, W)``, to a function of the source."""

FITS: Mapping[str, Fit] = {
    "copy": lambda source, target, body: lambda volume: volume,
    "histogram match": fit_histogram_match,
    "intensity mapping": fit_intensity_mapping,
}
"""Baselines by name; all but the first are fitted on the answer, knee by knee."""
TISSUE_GAINS, TISSUE_MEANS = "tissue gains", "tissue means"
"""Oracles that are given the labels too: one gain, or the mean of the answer, in each structure."""


def measure_baseline(
    name: str, knees: list[Knee], twins: list[Twins], noisy: int
) -> tuple[list[Measured], list[MeasuredLesion]]:
    """All measures of one baseline; those of noise for the first ``noisy`` knees, as `measure_network` has them."""
    rows, lesions = list[Measured](), list[MeasuredLesion]()
    for number, knee in enumerate(knees):
        for target in (1, 0):
            source, truth = knee.sources[1 - target], knee.targets[target]
            if name in FITS:
                mapping = FITS[name](source, truth, knee.body)
                made = mapping(source)
                if number < noisy:
                    rows += measured(knee.patient, target, measure_noise(_fixed(mapping), knee, target))
            else:
                masks = tissue_masks(knee.labels, {one: [value] for value, one in enumerate(STRUCTURES)})
                made = map_tissues(source, truth, knee.body, masks, own_mean=name == TISSUE_MEANS)
            rows += measured(knee.patient, target, measure_images(made, knee, target))
    for pair in twins if name in FITS else []:
        for target in (1, 0):
            # Fitted on the knee without its lesion: a fit that sees the lesion's own answer would flatter it.
            healthy = pair.sources[1][1 - target], pair.targets[1][target], body_of(pair.targets[1])
            predict = _fixed(FITS[name](*healthy))
            lesions.append(measure_lesion(predict, pair, target))
            rows += measured(pair.patient, target, measure_blobs(predict, pair, target))
    return rows, lesions


def _fixed(mapping: Callable[[Tensor], Tensor]) -> Predict:
    return lambda source, target: mapping(source)
