# SPDX-License-Identifier: Apache-2.0
"""The same pixels under two names, whatever file they are in and whatever number stands for white."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 24
_ALIKE = 0.9995
"""Correlation of coarse pictures above which two are looked at closely: scans of two knees, or of one on two days, and
the two contrasts of one knee, are well below."""
_SAME = 2e-3
"""Largest mean difference, as a share of the bright end, of what is the same but for rounding to 8 bits; a second scan
differs by its noise at least."""


def signature(slices: Tensor) -> Tensor:
    """A coarse picture of some slices ``(n, h, w)``, of mean 0 and length 1, to find candidates by."""
    coarse = F.adaptive_avg_pool2d(slices[:, None].float(), SIDE).flatten()
    coarse = coarse - coarse.mean()
    return coarse / coarse.norm().clamp_min(1e-12)


def duplicates(signatures: Sequence[Tensor | None], pictures: Sequence[Tensor | None]) -> list[tuple[int, int]]:
    """Numbers of images that are the same.

    Args:
        signatures: of each image; None for one that could not be read.
        pictures: the slices that were looked at ``(n, h, w)``, in any scale.
    """
    found: list[tuple[int, int]] = []
    by_length: dict[int, list[int]] = {}
    for number, one in enumerate(signatures):
        if one is not None:
            by_length.setdefault(len(one), []).append(number)
    for numbers in by_length.values():
        matrix = torch.stack([signatures[number] for number in numbers])  # type: ignore[misc]
        for start in range(0, len(matrix), 512):
            alike = (matrix[start : start + 512] @ matrix.T > _ALIKE).nonzero().tolist()
            pairs = [(numbers[start + i], numbers[j]) for i, j in alike if start + i < j]
            found += [(i, j) for i, j in pairs if _same(pictures[i], pictures[j])]
    return sorted(found)


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None or a.shape != b.shape:
        return False
    a, b = (one.float() / one.float().mean().clamp_min(1e-12) for one in (a, b))
    white = float(torch.quantile(a.flatten()[:: max(1, a.numel() // 10**5)], 0.995))
    return float((a - b).abs().mean()) < _SAME * max(white, 1e-12)
