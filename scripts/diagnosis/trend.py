# SPDX-License-Identifier: Apache-2.0
"""Evidence of the curves: which losses fall, which are flat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from scripts.diagnosis.evidence import Slope, Trend
from scripts.losses import TERMS

LONGEST = 5
"""Epochs at the end that a slope is taken over, where there are as many."""


def read_trend(rows: Sequence[Mapping[str, float]], shortest: int = 3, score: str = "val_psnr") -> Trend | None:
    """Slopes of the losses.

    Args:
        rows: one per epoch, as in ``curves.csv``: ``epoch``, the losses, and validation metrics in some of them.
        shortest: fewest epochs that a slope is taken over.
        score: the validation metric, larger is better [dB].

    Returns:
        The trend; None without rows, no slopes for fewer epochs or losses that are no positive numbers.
    """
    if not rows:
        return None
    losses = {}
    for term in TERMS:
        values = [row[term] for row in rows if term in row]
        if len(values) >= shortest and all(math.isfinite(value) and value > 0 for value in values):
            losses[term] = _slope(values, shortest)
    scores = [row[score] for row in rows if score in row]
    return Trend(
        epochs=int(rows[-1]["epoch"]),
        losses=losses,
        finite=all(math.isfinite(rows[-1][term]) for term in ("loss", *TERMS) if term in rows[-1]),
        score_gain=max(scores[1:]) - scores[0] if len(scores) > 1 else None,
    )


def _slope(values: list[float], shortest: int) -> Slope:
    end = values[-max(shortest, min(LONGEST, len(values) // 2)) :]
    # Of the logarithm: relative change per epoch, the same for every scale of a loss.
    slope = float(np.polyfit(np.arange(len(end)), np.log(end), 1)[0])
    last = float(np.mean(end[-2:]))
    return Slope(first=values[0], last=last, drop=1 - last / values[0], slope=math.expm1(slope))
