# SPDX-License-Identifier: Apache-2.0
"""Which patients and which slices are shown: by a rule that is stated, never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scripts.metrics.summary import AS_STORED, CaseScore

RULE = (
    "Best, median and worst are the cases of highest, middle (the lower of two) and lowest PSNR as stored; of each the "
    "slice is shown whose error is the median over its slices (the lower of two) of those that hold a tenth of the "
    "body of the fullest"
)
_LEAST_BODY = 0.1


def ranked(rows: Sequence[CaseScore], method: str) -> dict[str, CaseScore]:
    """The rows of the best, the median and the worst case; of fewer than three cases only those there are.

    Args:
        rows: all rows; the first protocol, reference and registration count.
        method: whose.
    """
    first = rows[0]
    way = (first.protocol, first.reference, first.registration, AS_STORED, method)
    mine = [r for r in rows if (r.protocol, r.reference, r.registration, r.scaling, r.method) == way]
    order = sorted(mine, key=lambda row: (row.scores["psnr"], row.patient, row.case))
    places: Mapping[str, int] = {"best": len(order) - 1, "median": (len(order) - 1) // 2, "worst": 0}
    return dict(
        (name, order[place])
        for name, place in places.items()
        if name == "best" or (name == "worst" and len(order) > 1) or (name == "median" and len(order) > 2)
    )


def shown_slice(pred: Tensor, target: Tensor, body: Tensor) -> int:
    """The slice of median error: root mean square in the body, among slices that hold enough of it.

    Args:
        pred: ``(1, D, H, W)``.
        target: the same shape.
        body: non-zero in the body.
    """
    inside = body[0] != 0
    count = inside.flatten(1).sum(dim=1)
    square = ((pred[0] - target[0]).double().square() * inside).flatten(1).sum(dim=1) / count.clamp_min(1)
    numbers = [n for n in range(len(count)) if count[n] >= _LEAST_BODY * count.max() and count[n] > 0]
    order = torch.tensor([float(square[n]) for n in numbers]).argsort(stable=True)
    return numbers[int(order[(len(numbers) - 1) // 2])]
