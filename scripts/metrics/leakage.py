# SPDX-License-Identifier: Apache-2.0
"""How much of the source's noise a synthesis passes on.

All volumes are ``(D, H, W)`` or ``(1, D, H, W)`` on the fixed scales, where 1.0 is the contrast's own 99.5th percentile
in the body, and every measure is taken in one mask: call it once per tissue. Two noisy sources of one knee have
to be put on the scale by *one* divisor. If each is divided by its own percentile, the two predictions differ by a gain
too, and the index counts it as noise.

No leakage at all is no aim: a synthesis passes none of the noise on only if it passes no detail on. What a linear
denoiser of the source itself passes on stands beside every result (:func:`scripts.metrics.wiener.wiener_leakage`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from scripts.metrics.masked import mask_of, volumes_of


@dataclass(frozen=True)
class NoiseInError:
    """What the error of one prediction has in common with the noise of its source, voxel by voxel.

    Attributes:
        correlation: Pearson's, of error and noise, each less its mean in the mask; not a number where one is constant.
        slope: least-squares regression of the error on the noise: the gain by which noise came through in place.
        share: part of the mean squared error that the regression explains, ``slope^2 var(noise) / mean(error^2)``. The
            error's mean stays in the denominator: a bias is error.
    """

    correlation: float
    slope: float
    share: float


def noise_leakage(
    first: Tensor, second: Tensor, source_clean: Tensor, target_clean: Tensor, sigma: float | Tensor, mask: Tensor
) -> float:
    """Noise-leakage index ``NLI = rms[f(a + n1) - f(a + n2)] / (sqrt(2) g sigma_a)``.

    ``g = mean(target_clean) / mean(source_clean)`` in the mask is the gain by which the tissue's signal changes: a
    synthesis that scales the tissue by ``g``, noise and all, has 1; one that ignores the source has 0. No mean is
    removed from the difference: a shift of the whole tissue that came with the noise is noise.

    Limits: where the target is nearly dark (suppressed fat) ``g`` is small, and little noise makes a large index. The
    magnitude's noise is not Gaussian below an SNR of about 3 and narrower than ``sigma``: the copy of such a source
    has an index below 1.

    Args:
        first: prediction from the source with one noise.
        second: prediction from the same source with another.
        source_clean: the source without noise, on the source's scale.
        target_clean: the target without noise, on the prediction's scale.
        sigma: standard deviation of the source's noise on the source's scale; a number or a map, whose root mean
            square in the mask counts.
        mask: where to measure, non-zero inside: one tissue.

    Returns:
        The index, 0 or more.

    Raises:
        ValueError: for shapes that differ, values that are not finite, an empty mask, a tissue without signal or a
            sigma that is not positive.
    """
    first, second, source, target = volumes_of(
        first=first, second=second, source_clean=source_clean, target_clean=target_clean
    )
    inside = mask_of(mask, first)
    bright, gained = float(source[inside].mean()), float(target[inside].mean())
    if not bright > 0 or not gained > 0:
        raise ValueError(
            f"the tissue has mean {bright:g} in the source and {gained:g} in the target: need both above 0"
        )
    spread = _sigma_in(sigma, inside)
    return float(_mean_square(first - second, inside)) ** 0.5 / (math.sqrt(2) * gained / bright * spread)


def noise_in_error(
    prediction: Tensor, target_clean: Tensor, source: Tensor, source_clean: Tensor, mask: Tensor
) -> NoiseInError:
    """Compare the error, ``prediction - target_clean``, with the source's noise, ``source - source_clean``.

    The mean of each in the mask is removed, once, and no other filter is applied: structure that the prediction got
    wrong stays in the error and lowers the correlation. Only noise that stayed in its voxel is seen: noise that was
    smeared over its neighbours counts by what is left in place. :func:`noise_share` sees all of it.

    Args:
        prediction: made from ``source``.
        target_clean: the target without noise.
        source: with noise.
        source_clean: without.
        mask: one tissue, at least 3 voxels.

    Raises:
        ValueError: for shapes that differ, values that are not finite or a mask of fewer than 3 voxels.
    """
    prediction, target, noisy, clean = volumes_of(
        prediction=prediction, target_clean=target_clean, source=source, source_clean=source_clean
    )
    inside = mask_of(mask, prediction, least=3)
    error, noise = (prediction - target)[inside], (noisy - clean)[inside]
    centred_error, centred_noise = error - error.mean(), noise - noise.mean()
    together, alone = float((centred_error * centred_noise).mean()), float(centred_noise.square().mean())
    spread = float(centred_error.square().mean())
    whole = float(error.square().mean())
    slope = together / alone if alone > 0 else math.nan
    correlation = together / math.sqrt(alone * spread) if alone * spread > 0 else math.nan
    return NoiseInError(correlation, slope, slope**2 * alone / whole if whole > 0 else math.nan)


def noise_share(first: Tensor, second: Tensor, target_clean: Tensor, mask: Tensor) -> float:
    """Share of the mean squared error that is due to the source's noise, whatever became of it on the way.

    ``(1/2 mean[(f(a+n1) - f(a+n2))^2]) / (1/2 mean[e1^2 + e2^2])``: the error's variance over noises against its mean
    square; what is left is bias, the error that every noise meets. No mean is removed.

    Args:
        first: prediction from the source with one noise.
        second: prediction from the same source with another, independent one.
        target_clean: the target without noise.
        mask: one tissue.

    Returns:
        0 (noise plays no part) to about 1 (nothing but noise; the estimate from one pair scatters around it); not a
        number for two perfect predictions.

    Raises:
        ValueError: for shapes that differ, values that are not finite or an empty mask.
    """
    first, second, target = volumes_of(first=first, second=second, target_clean=target_clean)
    inside = mask_of(mask, first)
    errors = _mean_square(first - target, inside) + _mean_square(second - target, inside)
    return float(_mean_square(first - second, inside) / errors)


def _sigma_in(sigma: float | Tensor, inside: Tensor) -> float:
    if isinstance(sigma, Tensor) and sigma.ndim:
        (values,) = volumes_of(sigma=sigma)
        spread = float(_mean_square(values.to(inside.device), inside)) ** 0.5
    else:
        spread = float(sigma)
    if not spread > 0:
        raise ValueError(f"sigma is {spread:g}: the noise of the source needs a positive standard deviation")
    return spread


def _mean_square(values: Tensor, inside: Tensor) -> Tensor:
    return values[inside].square().mean()
