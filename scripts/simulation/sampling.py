# SPDX-License-Identifier: Apache-2.0
"""An anatomy on the slices of a stack, on several threads, with one result for any number of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import TypeVar

import torch

from scripts.simulation.anatomy.canvas import Anatomy
from scripts.simulation.maps import TissueMaps, map_tissues
from scripts.simulation.stack import Stack

Result = TypeVar("Result")

SUB_SLICES = 2
"""Thin sheets averaged across each slice."""


def map_stack(
    anatomy: Anatomy,
    stack: Stack,
    device: torch.device | str = "cpu",
    workers: int = 1,
    sub_slices: int = SUB_SLICES,
) -> TissueMaps:
    """The tissue on the grid of a stack.

    Args:
        anatomy: what is scanned.
        stack: where the slices lie.
        device: where to compute; the maps stay there.
        workers: threads, each for some of the slices; the result does not depend on them.
        sub_slices: thin sheets averaged across each slice, at least 1.

    Raises:
        ValueError: if the slices miss the anatomy.
    """
    affine = stack.affine_lps

    def part(index: int) -> TissueMaps:
        start = affine.clone()
        start[:3, 3] += index * affine[:3, 0]
        return map_tissues(anatomy, start, (1, *stack.shape[1:]), stack.thickness, sub_slices, device)

    parts = in_threads(part, stack.shape[0], workers)
    compartment, share = (torch.cat([getattr(one, name) for one in parts], dim=1) for name in ("compartment", "share"))
    labels, lesion = (torch.cat([getattr(one, name) for one in parts]) for name in ("labels", "lesion"))
    if not bool((labels > 0).any()):
        middle = ", ".join(f"{value:.0f}" for value in stack.centre)
        raise ValueError(
            f"The field of view around ({middle}) mm misses the knee; need a stack whose centre is within some 100 mm "
            "of the joint; change its centre."
        )
    return TissueMaps(compartment, share, labels, lesion, affine)


def on_cpu(maps: TissueMaps) -> TissueMaps:
    """The same maps in the main memory."""
    return TissueMaps(*(getattr(maps, one.name).cpu() for one in fields(maps)))


def in_threads(function: Callable[[int], Result], count: int, workers: int) -> list[Result]:
    """``function`` of each number below ``count``, each on one thread, so that sums do not depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if workers <= 1:
            return [function(number) for number in range(count)]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(function, range(count)))
    finally:
        torch.set_num_threads(threads)
