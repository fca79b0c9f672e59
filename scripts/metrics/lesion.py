# SPDX-License-Identifier: Apache-2.0
"""Whether lesions survive: the contrast that a synthesis gives them against the contrast they have.

Measured on counterfactual pairs: one knee, one scan, one noise, with the lesion and without. All volumes are ``(D, H,
W)`` or ``(1, D, H, W)`` on the fixed scales, and both of a pair are divided by *one* number: if each is divided by
its own percentile, a large lesion dims the rest of its knee and part of the contrast is that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.metrics.masked import volumes_of
from scripts.metrics.summary import LEVEL, RESAMPLES, Estimate

VISIBLE = 3.0
"""Contrast-to-noise ratio on the clean source from which a lesion counts as visible there."""

Pair = tuple[Tensor, Tensor]
"""The same volume with the lesion and without."""


@dataclass(frozen=True)
class LesionContrast:
    """One lesion in one patient.

    Attributes:
        patient: key of the patient; lesions of one patient are resampled together.
        true: contrast on the clean target.
        predicted: contrast on the prediction.
        visibility: contrast-to-noise ratio on the clean source, not negative.
    """

    patient: str
    true: float
    predicted: float
    visibility: float

    @property
    def is_visible(self) -> bool:
        """Whether the source shows the lesion at all: only then is its recovery a fair question."""
        return self.visibility >= VISIBLE


@dataclass(frozen=True)
class ContrastRecovery:
    """The line ``predicted = intercept + slope * true`` over lesions.

    Attributes:
        slope: 1 is full contrast, 0 none, with its bootstrap interval over patients (``mean`` is the fitted value).
        intercept: contrast that is predicted where there is none.
        lesions: how many.
        patients: of how many.
    """

    slope: Estimate
    intercept: Estimate
    lesions: int
    patients: int


def lesion_contrast(pair: Pair, lesion: Tensor) -> float:
    """Signal that a lesion adds, averaged over the lesion: ``sum(w (with - without)) / sum(w)``.

    The surroundings take no part: what stood in the same place without the lesion is known. Negative for a lesion
    darker than what it replaces.

    Args:
        pair: with the lesion and without.
        lesion: share of each voxel that the lesion changed, 0..1, or a mask.

    Raises:
        ValueError: for shapes that differ, values that are not finite, a negative share or a lesion that is nowhere.
    """
    present, absent, share = volumes_of(present=pair[0], absent=pair[1], lesion=lesion)
    total = float(share.sum())
    if float(share.min()) < 0 or not total > 0:
        raise ValueError(f"the lesion's shares sum to {total:g}: need shares in 0..1 and a lesion somewhere")
    return float((share * (present - absent)).sum()) / total


def compare_lesion(
    patient: str, prediction: Pair, target: Pair, source: Pair, lesion: Tensor, sigma: float
) -> LesionContrast:
    """Measure one lesion.

    ``visibility = |contrast on the clean source| / sigma``: of single voxels. A large lesion is seen at less (Rose),
    and for an observer that sums over the lesion there is :mod:`scripts.metrics.observer`.

    Args:
        patient: key of the patient.
        prediction: from the noisy source with the lesion, and from the same without, with the same noise.
        target: noise-free.
        source: noise-free, on the source's scale.
        lesion: share of each voxel that the lesion changed, or a mask.
        sigma: standard deviation of the study's noise on the source's scale.

    Raises:
        ValueError: as :func:`lesion_contrast`, and for a sigma that is not positive.
    """
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma:g}: visibility needs the noise of the study, above 0")
    true, predicted, seen = (lesion_contrast(pair, lesion) for pair in (target, prediction, source))
    return LesionContrast(patient, true, predicted, abs(seen) / sigma)


def contrast_recovery(
    lesions: Sequence[LesionContrast], seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> ContrastRecovery:
    """Slope and intercept of predicted on true contrast: least squares over lesions, bootstrap over patients.

    Patients are drawn with all their lesions (cluster bootstrap; Davison and Hinkley 1997, section 3.8), since two
    lesions of one knee share its contrast and its errors. Tell visible and invisible lesions apart before: a slope over
    both answers neither question. Samples whose lesions all have one contrast have no slope and are left out of the
    interval.

    Args:
        lesions: one or more per patient; include some of small or no contrast, else the intercept is a guess.
        seed: of the generator; the global one is left alone.
        resamples: bootstrap samples.
        level: coverage of the intervals, in (0, 1).

    Returns:
        The line; its intervals are not a number for fewer than two patients.

    Raises:
        ValueError: for fewer than two different true contrasts, or a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval lies between 0 and 1, got {level}")
    if len({lesion.true for lesion in lesions}) < 2:
        raise ValueError(f"{len(lesions)} lesions of one true contrast have no slope: need at least two contrasts")
    patients = list(dict.fromkeys(lesion.patient for lesion in lesions))
    x = torch.tensor([lesion.true for lesion in lesions], dtype=torch.float64)
    y = torch.tensor([lesion.predicted for lesion in lesions], dtype=torch.float64)
    owner = torch.tensor([patients.index(lesion.patient) for lesion in lesions])
    # About the overall mean, so that sums of squares lose no digits.
    middle = float(x.mean())
    x = x - middle
    moments = torch.stack([torch.ones_like(x), x, y, x * x, x * y], dim=1)
    sums = torch.zeros(len(patients), 5, dtype=torch.float64).index_add_(0, owner, moments)
    slope, height = _line(sums.sum(dim=0))
    draws = torch.randint(len(patients), (resamples, len(patients)), generator=torch.Generator().manual_seed(seed))
    slopes, heights = _line(sums[draws].sum(dim=1))
    return ContrastRecovery(
        slope=_estimate(slope, slopes, len(patients), level),
        intercept=_estimate(height - slope * middle, heights - slopes * middle, len(patients), level),
        lesions=len(lesions),
        patients=len(patients),
    )


def _line(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and height at 0 out of the sums of 1, x, y, x^2 and xy, ``(..., 5)``; not a number without spread in x."""
    count, x, y, xx, xy = sums.unbind(dim=-1)
    spread = xx - x * x / count
    none = spread <= 1e-12 * xx
    slope = torch.where(none, torch.nan, (xy - x * y / count) / torch.where(none, torch.ones_like(spread), spread))
    return slope, (y - slope * x) / count


def _estimate(value: Tensor, samples: Tensor, patients: int, level: float) -> Estimate:
    samples = samples[~samples.isnan()]
    if patients < 2 or samples.numel() == 0:
        return Estimate(float(value), float("nan"), float("nan"))
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(samples, edges, interpolation="nearest").tolist()
    return Estimate(float(value), low, high)
