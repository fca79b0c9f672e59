# SPDX-License-Identifier: Apache-2.0
"""Which items of a dataset are this process's, where several processes share it."""

from __future__ import annotations

from collections.abc import Iterator, Sized

from torch.utils.data import Sampler

from scripts.processes import rank, share, world_size


class OwnShare(Sampler[int]):
    """Every n-th index from the process's number on: in order, each index in exactly one process.

    So the k-th batches of all processes hold together what the k-th batch of one process, n times as large, would.
    PyTorch's and MONAI's ``DistributedSampler`` repeat items to make shares equal, or refuse to leave a process without
    an item; a patient who counts twice changes a score, and there may be more GPUs than patients to validate on.

    Args:
        dataset: what is shared.
        even: refuse shares of different sizes: training must take equally many steps in all processes.

    Raises:
        UsageError: ``even`` and the items cannot be divided by the number of processes.
    """

    def __init__(self, dataset: Sized, even: bool = False) -> None:
        self.dataset = dataset
        if even:
            share(len(dataset), "the number of training slices")

    def __iter__(self) -> Iterator[int]:
        """The indices of this process."""
        return iter(range(rank(), len(self.dataset), world_size()))

    def __len__(self) -> int:
        """How many they are; 0 where there are more processes than items."""
        return len(range(rank(), len(self.dataset), world_size()))
