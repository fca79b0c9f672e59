# SPDX-License-Identifier: Apache-2.0
"""Conformal quantiles where patients, not pixels, are exchangeable.

Hierarchical conformal prediction (Lee, Barber & Willett 2024, "Distribution-free inference with hierarchical data"):
each of ``n`` patients has one share of ``1 / (n + 1)``, spread evenly over its pixels, and the last share lies at
infinity. The quantile of that distribution covers a random pixel of the next patient with at least the level asked
for, whatever the pixels of one patient have in common. That is a mean over patients: any one of them may be covered
less.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def least_patients(level: float) -> int:
    """Patients without which no finite quantile has this level: ``n / (n + 1)`` must reach it."""
    return math.ceil(level / (1 - level) - 1e-9)


def hierarchical_quantile(scores: Tensor, weights: Tensor, patients: int, level: float) -> float:
    """The score that bounds a random pixel of the next patient.

    Args:
        scores: of the pixels of all patients, ``(n,)``.
        weights: of those pixels; they sum to 1 over each patient.
        patients: how many have a pixel here.
        level: share to be covered, between 0 and 1.

    Returns:
        The quantile; infinite for too few patients.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level:g}; need a share between 0 and 1")
    order = scores.argsort()
    below = weights[order].double().cumsum(0) / (patients + 1)
    place = int(torch.searchsorted(below, level - 1e-6))  # weights are rounded
    return float(scores[order[place]]) if place < len(scores) else math.inf
