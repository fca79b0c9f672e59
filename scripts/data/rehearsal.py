# SPDX-License-Identifier: Apache-2.0
"""Simulated slices among those of acquired pairs, so that fine-tuned weights do not forget what they knew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from scripts.data.slices import Item, PairedSlices, SimulatedSlices, mix


class RehearsedSlices(Dataset[Item]):
    """Slices of two sources, drawn by epoch and index (rehearsal; Robins 1995, Connection Science 7:123).

    Args:
        pairs: of the scanner that is learnt.
        simulated: what the weights were trained on, or its like; as many slices as ``pairs``, in main memory.
        share: of the simulated ones, 0 to 1.
    """

    def __init__(self, pairs: PairedSlices, simulated: SimulatedSlices, share: float) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"rehearsal is {share:g}; need the share of simulated slices, 0 to 1.")
        self.pairs, self.simulated, self.share = pairs, simulated, float(share)

    def __len__(self) -> int:
        """Slices per epoch."""
        return len(self.pairs)

    def set_epoch(self, epoch: int) -> None:
        """See `RandomSlices`."""
        self.pairs.set_epoch(epoch)
        self.simulated.set_epoch(epoch)

    def __getitem__(self, index: int) -> Item:
        """See `RandomSlices`; each item has all of its keys, so that both kinds fit into one batch."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Several slices at once."""
        found: dict[int, Item] = {}
        for source, is_simulated in ((self.pairs, False), (self.simulated, True)):
            mine = [index for index in indices if self._is_simulated(index) == is_simulated]
            found |= dict(zip(mine, source.__getitems__(mine), strict=True)) if mine else {}
        return [_whole(found[index]) for index in indices]

    def _is_simulated(self, index: int) -> bool:
        # A stream of its own: the slices are drawn with mix(seed, epoch, index).
        generator = torch.Generator().manual_seed(mix(self.pairs.seed + 1, self.pairs.epoch, index))
        return float(torch.rand((), generator=generator)) < self.share


def _whole(item: Item) -> Item:
    inputs = {"image_input": item["image"], "label_input": item["label"]}
    return inputs | {"lesion": torch.zeros_like(item["image"])} | item
