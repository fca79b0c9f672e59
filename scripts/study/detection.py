# SPDX-License-Identifier: Apache-2.0
"""What can be seen of lesions on PD, on synthetic PDFS and on acquired PDFS, for the weights of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.metrics.lesion import contrast_recovery
from scripts.metrics.observer import SPARSE, detectability, lesion_patch
from scripts.study.knees import Twins
from scripts.study.measure import MeasuredLesion, Predict, measure_lesion

PATCH = 64
"""Side of what the observer sees [pixels], about 40 mm."""
IMAGES = ("PD", "synthetic PDFS", "acquired PDFS")
SIZES = ("smaller", "larger")
"""Halves of the lesions of a kind, by their size."""


@dataclass(frozen=True)
class Detected:
    """How well one kind of lesion is told from its absence on one image.

    Args:
        kind: of lesion.
        size: one of `SIZES`.
        up_to: size of the largest lesion of this half [mm].
        image: one of `IMAGES`.
        knees: how many.
        held_out: detectability, each knee judged by what the others taught.
        resubstituted: with all knees in training and judging: too high, as the first is too low.
        area: under the ROC curve of the held-out test.
    """

    kind: str
    size: str
    up_to: float
    image: str
    knees: int
    held_out: float
    resubstituted: float
    area: float


@dataclass(frozen=True)
class Recovered:
    """The contrast that the synthesis gives one kind of lesion.

    Args:
        kind: of lesion.
        visible: whether these are the lesions that PD shows.
        lesions: how many.
        slope: of predicted on true contrast; not a number for fewer than three lesions.
        low: of its 95 % interval.
        high: of it.
        intercept: contrast predicted where there is none.
    """

    kind: str
    visible: bool
    lesions: int
    slope: float
    low: float
    high: float
    intercept: float


@dataclass(frozen=True)
class Seen:
    """One pair of knees: the patches of the observer, and the lesion's contrast.

    Args:
        kind: of lesion.
        size: as drawn [mm].
        patient: the knee.
        patches: by image, with the lesion and without, each ``(PATCH, PATCH)``.
        lesion: its contrast on PDFS.
    """

    kind: str
    size: float
    patient: str
    patches: dict[str, tuple[Tensor, Tensor]]
    lesion: MeasuredLesion


def look_at(predict: Predict, twins: Iterable[Twins]) -> list[Seen]:
    """Synthesise PDFS of each pair, and cut out what the observer sees. Images are noisy, as a reader has them."""
    found = []
    for pair in twins:
        made = predict(pair.sources[0][0], 1), predict(pair.sources[1][0], 1)
        seen = (pair.sources[0][0], pair.sources[1][0]), made, (pair.sources[0][1], pair.sources[1][1])
        patches = {
            image: (lesion_patch(present, pair.lesion, PATCH), lesion_patch(absent, pair.lesion, PATCH))
            for image, (present, absent) in zip(IMAGES, seen, strict=True)
        }
        found.append(Seen(pair.kind, pair.size, pair.patient, patches, measure_lesion(predict, pair, 1)))
    return found


def detected(seen: Sequence[Seen]) -> list[Detected]:
    """One line per kind, half of its sizes, and image."""
    lines = []
    for kind in dict.fromkeys(one.kind for one in seen):
        ordered = sorted((one for one in seen if one.kind == kind), key=lambda one: one.size)
        middle = len(ordered) // 2
        for size, half in zip(SIZES, (ordered[:middle], ordered[middle:]), strict=True):
            if len(half) < SPARSE.count + 2:
                continue
            for image in IMAGES:
                present, absent = (torch.stack([one.patches[image][index] for one in half]) for index in (0, 1))
                found = detectability(present, absent, [one.patient for one in half], SPARSE)
                lines.append(
                    Detected(
                        kind=kind,
                        size=size,
                        up_to=half[-1].size,
                        image=image,
                        knees=found.patients,
                        held_out=found.held_out,
                        resubstituted=found.resubstituted,
                        area=found.held_out_auc,
                    )
                )
    return lines


def recovered(lesions: Sequence[MeasuredLesion]) -> list[Recovered]:
    """One line per kind for the lesions that PD shows, and one for those that it does not."""
    lines = []
    nothing = float("nan")
    for kind in dict.fromkeys(one.kind for one in lesions):
        for visible in (True, False):
            chosen = [one.contrast for one in lesions if one.kind == kind and one.contrast.is_visible == visible]
            if len(chosen) < 3:
                lines.append(Recovered(kind, visible, len(chosen), nothing, nothing, nothing, nothing))
                continue
            line = contrast_recovery(chosen)
            slope = line.slope
            lines.append(Recovered(kind, visible, len(chosen), slope.mean, slope.low, slope.high, line.intercept.mean))
    return lines
