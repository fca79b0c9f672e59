# SPDX-License-Identifier: Apache-2.0
"""The slices of a run, by what its data are: tissue maps of simulated knees, or pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from scripts.data.augmentation import Augmentation
from scripts.data.pairs import pairs
from scripts.data.rehearsal import RehearsedSlices
from scripts.data.slices import PairedSlices, RandomSlices, SimulatedSlices
from scripts.errors import UsageError


def training_slices(
    data: Sequence[Mapping[str, Any]],
    transform: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    augmentation: Augmentation,
    samples: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    noisy_targets: bool = False,
    cache_dir: str | None = None,
    loading: str = "streamed",
    lesion_slices: float = 0.0,
    rehearsal: float = 0.0,
    simulated: Mapping[str, Any] | None = None,
) -> RandomSlices | RehearsedSlices:
    """The slices of a run's training data: simulated anew where the data are tissue maps, else cut from the pairs.

    Args:
        data: items of `pairs.pairs`.
        transform: preprocessing of a pair; tissue maps need none.
        augmentation: ranges of the augmentation.
        samples: slices per epoch.
        seed: with the epoch and the index it decides everything that is random.
        device: where simulated slices are computed; the GPU that trains, if no worker processes prepare batches.
        noisy_targets: leave the noise in the targets of simulated slices, as in acquired ones, and the noise floor in
            those of acquired ones.
        cache_dir: where preprocessed pairs are kept; None keeps them in memory alone.
        loading: of pairs, ``streamed`` from there or ``resident`` in memory.
        lesion_slices: of simulated knees, see `SimulatedSlices`.
        rehearsal: share (0..1) of simulated slices among those of pairs, see `RehearsedSlices`.
        simulated: which these are, as `pairs.pairs` takes it.
    """
    if data and "maps" in data[0]:
        return SimulatedSlices(data, augmentation, samples, seed, device, noisy_targets, lesion_slices)
    acquired = PairedSlices(data, transform, augmentation, samples, seed, cache_dir, loading, noisy_targets)
    if not rehearsal:
        return acquired
    if simulated is None:
        raise UsageError(
            f"rehearsal {rehearsal:g} without simulated knees; need them; name simulated, as train.yaml does"
        )
    knees = pairs("", "", "training", simulated)
    rehearsed = SimulatedSlices(knees, augmentation, samples, seed, "cpu", noisy_targets, lesion_slices)
    return RehearsedSlices(acquired, rehearsed, rehearsal)
