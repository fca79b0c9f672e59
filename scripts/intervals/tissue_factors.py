# SPDX-License-Identifier: Apache-2.0
"""Factors, one for each tissue as the head sees it, with which every group of pixels is covered as asked for.

A pixel's half width is its scale times the mean of the factors, weighted by the head's probabilities of the tissues:
what may be fluid with a tenth of the probability gets a tenth of fluid's factor. There are as many groups as factors,
and each group gives one equation: the hierarchical conformal quantile (`scripts.intervals.hierarchical`) of error over
half width among its pixels is 1. Where the true tissue of a pixel is known, that is its group: a tissue that is often
taken for another one then widens the interval of what it is taken for, and what is covered too much gets narrower.
Elsewhere the group is the tissue that the head finds likeliest.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.intervals.hierarchical import hierarchical_quantile, least_patients

logger = logging.getLogger(__name__)

MOST_PIXELS = 1000
"""Of a group that one patient lends, evenly through the volume: patients are what counts."""
LEAST_PIXELS = 50
"""A patient with fewer pixels of a group says nothing about it."""
LEAST_OF_GROUP = 20
"""Patients that a group needs for a factor of its own: with fewer the quantile is that of the worst few pixels."""
FULL = 255
"""A probability of 1 as it is stored."""
_STEPS, _DAMPING, _NEAR, _FAR = 50, 0.7, 0.005, math.log(50.0)
_OFF = 0.1
_LEAST_SCORE = 1e-3


@dataclass(frozen=True)
class Sample:
    """Some pixels of one patient.

    Args:
        score: logarithm of error over scale, ``(n,)``.
        seen: probability of each tissue in 255ths, uint8 ``(n, T)``.
        group: of each pixel, ``(n,)``.
        stands_for: pixels of the patient that each stands for, ``(n,)``.
    """

    score: Tensor
    seen: Tensor
    group: Tensor
    stands_for: Tensor


def sampled(error: Tensor, scale: Tensor, seen: Tensor, group: Tensor) -> Sample:
    """Thin out the pixels of one volume, group by group.

    Args:
        error: ``(n,)``.
        scale: ``(n,)``.
        seen: uint8 ``(T, n)``.
        group: ``(n,)``.
    """
    kept, stands_for = [], []
    for number in group.unique().tolist():
        where = torch.nonzero(group == number)[:, 0]
        few = where[:: -(-len(where) // MOST_PIXELS)]
        kept.append(few)
        stands_for.append(torch.full((len(few),), len(where) / len(few)))
    at = torch.cat(kept) if kept else torch.zeros(0, dtype=torch.int64)
    score = torch.log((error[at].abs() / scale[at]).float().clamp_min(_LEAST_SCORE))
    weight = torch.cat(stands_for) if kept else torch.zeros(0)
    return Sample(score, seen[:, at].T.contiguous(), group[at].to(torch.uint8), weight)


def mixed(seen: Tensor, factors: Sequence[float]) -> Tensor:
    """The mean of factors, weighted by the probabilities.

    Args:
        seen: uint8 ``(T, ...)``.
        factors: one for each tissue.

    Returns:
        float32 ``(...)``.
    """
    weighted = torch.zeros(seen.shape[1:], dtype=torch.float32)
    total = torch.zeros(seen.shape[1:], dtype=torch.float32)
    for share, factor in zip(seen, factors, strict=True):
        weighted += share.float() * factor
        total += share.float()
    return torch.where(total > 0, weighted / total.clamp_min(1), torch.ones_like(total))


def solve(patients: Sequence[Sample], level: float, start: Sequence[float]) -> tuple[float, tuple[float, ...]]:
    """Find the factors.

    Args:
        patients: one each; as many as the level needs.
        level: share to be covered.
        start: factors to begin with; groups that too few patients have keep them, times the common factor.

    Returns:
        The common factor, with which all pixels together are covered, and the factors.
    """
    score, group = (torch.cat([getattr(one, name) for one in patients]) for name in ("score", "group"))
    shares = torch.cat([one.seen for one in patients]).float()
    shares /= shares.sum(1, keepdim=True).clamp_min(1)
    whole = torch.cat([one.stands_for / one.stands_for.sum() for one in patients])
    begun = torch.tensor([math.log(one) for one in start])
    common = hierarchical_quantile(score - _log_mean(shares, begun), whole, len(patients), level)
    if not math.isfinite(common):
        return math.inf, tuple(start)
    begun += common
    members = [_members(patients, group, number) for number in range(len(start))]
    least = max(least_patients(level), LEAST_OF_GROUP)
    told = [number for number, (_, _, count) in enumerate(members) if count >= least]
    now, shift = begun.clone(), torch.zeros_like(begun)
    for _ in range(_STEPS if told else 0):
        for number in told:
            at, weights, count = members[number]
            shift[number] = hierarchical_quantile(score[at] - _log_mean(shares[at], now), weights, count, level)
        if float(shift.abs().max()) < _NEAR:
            break
        now = (now + _DAMPING * shift).clamp(begun - _FAR, begun + _FAR)
    for number in told:
        if float(shift[number].abs()) > _OFF:
            logger.warning(
                "Group %d needs %.0f %% of the width that it has: the head does not tell it apart",
                number, 100 * math.exp(float(shift[number])),
            )  # fmt: skip
    return math.exp(common), tuple(torch.exp(now).tolist())


def _log_mean(shares: Tensor, factors: Tensor) -> Tensor:
    """Logarithm of the weighted mean of factors that are given by their logarithms; 0 where no share is given."""
    mean = shares @ factors.exp()
    return torch.where(mean > 0, mean, torch.ones_like(mean)).log()


def _members(patients: Sequence[Sample], group: Tensor, number: int) -> tuple[Tensor, Tensor, int]:
    """Places of the pixels of a group among those of all patients, their weights, and how many patients have it."""
    weights, count = [], 0
    for one in patients:
        mine = one.group == number
        enough = float(one.stands_for[mine].sum()) >= LEAST_PIXELS
        count += enough
        weights.append(mine.float() / mine.sum().clamp_min(1) if enough else torch.zeros(len(mine)))
    every = torch.cat(weights)
    at = torch.nonzero(every)[:, 0]
    return at, every[at], count
