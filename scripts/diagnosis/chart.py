# SPDX-License-Identifier: Apache-2.0
"""The losses of a run as a small picture for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from scripts.losses import TERMS

_WIDTH, _HEIGHT = 760, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 70, 10, 34
_COLOURS = {"content": "#4477aa", "recon": "#b89b00", "cross": "#ee6677"}
_LINE_HEIGHT = 14


def draw_losses(rows: Sequence[Mapping[str, float]]) -> str:
    """The losses over the epochs as SVG, each relative to its first value; empty for fewer than two epochs.

    Args:
        rows: of the run's curves.
    """
    lines = []
    for term in TERMS:
        values = [row[term] for row in rows if math.isfinite(row.get(term, math.nan))]
        if len(values) > 1 and values[0] > 0:
            lines.append((term, [value / values[0] for value in values]))
    if not lines:
        return ""
    top = max(1.0, min(2.0, max(max(values) for _, values in lines)))
    epochs = max(len(values) for _, values in lines)

    def x(epoch: float) -> float:
        return _LEFT + (epoch - 1) / (epochs - 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (1 - min(value, top) / top) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_level(share, y(share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    parts += [_tick(epoch, x(epoch)) for epoch in sorted({1, (epochs + 1) // 2, epochs})]
    parts.append(f'<text class="axis" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 2}" text-anchor="end">epoch</text>')
    heights = _apart([y(values[-1]) for _, values in lines])
    for (term, values), height in zip(lines, heights, strict=True):
        points = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in enumerate(values, 1))
        parts.append(f'<polyline fill="none" stroke="{_COLOURS[term]}" stroke-width="2" points="{points}"/>')
        label = f'<text x="{x(len(values)) + 6:.1f}" y="{height + 4:.1f}" fill="{_COLOURS[term]}">{term}</text>'
        parts.append(label)
    return (
        f'<h2>Losses over the epochs, relative to the first</h2><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Losses over the epochs">{"".join(parts)}</svg>'
    )


def _level(share: float, height: float) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>'
        f'<text class="axis" x="{_LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{share:.0%}</text>'
    )


def _tick(epoch: int, place: float) -> str:
    return f'<text class="axis" x="{place:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{epoch}</text>'


def _apart(heights: Sequence[float]) -> list[float]:
    """Heights of labels, moved downwards where they would lie upon each other."""
    order = sorted(range(len(heights)), key=lambda number: heights[number])
    placed = list(heights)
    for above, below in pairwise(order):
        placed[below] = max(placed[below], placed[above] + _LINE_HEIGHT)
    return placed
