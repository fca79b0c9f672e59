# SPDX-License-Identifier: Apache-2.0
"""Random slices to train on: what a step sees is a function of (seed, epoch, index) alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from scripts.data.augmentation import Augmentation, apply_augmentation, draw_augmentation
from scripts.data.prepared_pairs import PreparedPairs
from scripts.quality.noise import without_floor
from scripts.simulation.brightness import Probe
from scripts.simulation.cohort import read_maps
from scripts.simulation.maps import TissueMaps
from scripts.simulation.preset import load_preset
from scripts.simulation.training import Cut, draw_scans, resample, scan_cuts

Item = dict[str, Tensor]


class RandomSlices(Dataset[Item]):
    """Slices of patients, drawn by epoch and index.

    Args:
        data: one item per patient.
        augmentation: ranges of the augmentation.
        samples: slices per epoch.
        seed: with the epoch and the index it decides everything that is random.
    """

    def __init__(
        self, data: Sequence[Mapping[str, Any]], augmentation: Augmentation, samples: int, seed: int = 0
    ) -> None:
        if not data:
            raise ValueError("The training set is empty; need at least one pair.")
        self.data, self.augmentation = list(data), augmentation
        self.samples, self.seed, self.epoch = int(samples), int(seed), 0

    def __len__(self) -> int:
        """Slices per epoch."""
        return self.samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose slices come next, counted from 1 as in Ignite."""
        self.epoch = int(epoch)

    def __getitem__(self, index: int) -> Item:
        """One augmented slice.

        Returns:
            ``image`` and ``label`` ``(1, H, W)`` float32 on the fixed scale, the targets; ``image_input`` and
            ``label_input``, what the network is given, where that differs; ``lesion``, the share that lesions changed
            in 0 to 1, of simulated slices; ``gain`` ``(2,)``: what the inputs are to be multiplied with; and ``origin``
            ``(2,)``: item and slice, to name a batch that fails.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Several slices at once, as PyTorch's loaders ask for a batch."""
        for index in indices:
            if not 0 <= index < self.samples:
                raise IndexError(index)
        return self._items([mix(self.seed, self.epoch, index) for index in indices])

    @abstractmethod
    def _items(self, seeds: Sequence[int]) -> list[Item]:
        """The slices of some seeds."""

    def _draw_patient(self, generator: torch.Generator) -> int:
        return int(torch.randint(len(self.data), (), generator=generator))


class PairedSlices(RandomSlices):
    """Augmented slices of acquired pairs, each preprocessed once.

    Args:
        data: items with ``image`` and ``label``, and ``slices`` where the two have to be matched.
        transform: preprocessing of one item; runs once per item, at first use.
        augmentation: ranges of the augmentation.
        samples: slices per epoch.
        seed: with the epoch and the index it decides everything that is random.
        cache_dir: where preprocessed pairs are kept; None keeps them in memory alone.
        loading: ``streamed`` from there, or ``resident`` in memory; the slices are the same bit by bit.
        noisy_targets: leave the noise floor in the targets, see `scripts.quality.noise.without_floor`.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        augmentation: Augmentation,
        samples: int,
        seed: int = 0,
        cache_dir: str | None = None,
        loading: str = "streamed",
        noisy_targets: bool = False,
    ) -> None:
        super().__init__(data, augmentation, samples, seed)
        self.noisy_targets = noisy_targets
        self.pairs = PreparedPairs(self.data, transform, cache_dir, loading)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and load what is to be resident: worker processes are forked after this, and share it."""
        super().set_epoch(epoch)
        self.pairs.load_all()

    def _items(self, seeds: Sequence[int]) -> list[Item]:
        return [self._item(torch.Generator().manual_seed(seed)) for seed in seeds]

    def _item(self, generator: torch.Generator) -> Item:
        which = self._draw_patient(generator)
        pair, coarse, where = self.pairs.read(which, lambda coarse: _draw_slice(coarse[0], generator))
        drawn = draw_augmentation(self.augmentation, (pair.shape[-2], pair.shape[-1]), generator)
        if self.noisy_targets:
            return _item(apply_augmentation(drawn, pair, coarse), drawn.gain, which, where)
        floor = torch.tensor(self.pairs.get(which).floor)[:, None, None]
        versions = torch.cat((pair.float(), without_floor(pair.float(), floor)))
        given, asked = apply_augmentation(drawn, versions, coarse).split(2)
        return _item(asked, drawn.gain, which, where) | {"image_input": given[:1], "label_input": given[1:]}


class SimulatedSlices(RandomSlices):
    """Slices of simulated knees, scanned anew each time: only their anatomy is kept.

    Sequence, tissue values, coil, field, noise and geometry are drawn for every slice. The cut-out is magnified, turned
    and mirrored before it is scanned, so that neither point spread nor noise is interpolated.

    Args:
        data: items with ``maps``, a file of tissue maps, and ``preset``, what is drawn.
        augmentation: ranges of geometry and gain.
        samples: slices per epoch.
        seed: with the epoch and the index it decides everything that is random.
        device: where to compute. Slices stay there, but those of a worker process come back in main memory.
        noisy_targets: leave the noise in the targets, as in acquired pairs.
        lesion_slices: share (0..1) of the slices that are drawn among those of their knee that show a lesion. Lesions
            are small and few: by chance, a network hardly ever sees one.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        augmentation: Augmentation,
        samples: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        noisy_targets: bool = False,
        lesion_slices: float = 0.0,
    ) -> None:
        if not 0 <= lesion_slices <= 1:
            raise ValueError(f"lesion_slices is {lesion_slices:g}; need the share of slices to show a lesion, 0 to 1.")
        super().__init__(data, augmentation, samples, seed)
        self.lesion_slices = float(lesion_slices)
        self.device = torch.device(device)
        self.noisy_targets = noisy_targets
        self._presets = {name: load_preset(name) for name in {str(item["preset"]) for item in self.data}}
        self._patients: dict[int, tuple[TissueMaps, Probe]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What a worker process is given: it reads the files itself."""
        return self.__dict__ | {"_patients": {}}

    def _items(self, seeds: Sequence[int]) -> list[Item]:
        cuts = [self._cut(seed) for seed in seeds]
        items = []
        for seen, (cut, gain, which, where) in zip(
            scan_cuts([cut for cut, *_ in cuts], self.noisy_targets), cuts, strict=True
        ):
            more = {"image_input": seen.inputs[:1], "label_input": seen.inputs[1:], "lesion": cut.maps.lesions}
            items.append(_item(seen.targets, gain, which, where) | more)
        if get_worker_info() is not None:
            items = [{key: value.cpu() for key, value in item.items()} for item in items]
        return items

    def _cut(self, seed: int, beside: int = 0) -> tuple[Cut, Tensor, int, int]:
        """The slice of a seed, or one ``beside`` it; at the end of the stack the last one again."""
        generator = torch.Generator().manual_seed(seed)
        which = self._draw_patient(generator)
        maps, seen = self._patient(which)
        where = min(max(self._draw_where(maps, seen, generator) + beside, 0), maps.share.shape[1] - 1)
        shape = (maps.share.shape[-2], maps.share.shape[-1])
        drawn = draw_augmentation(self.augmentation, shape, generator)
        scans = draw_scans(self._presets[str(self.data[which]["preset"])], seed % _SEEDS)
        cut = Cut(resample(maps, where, drawn.matrix, drawn.size, self.device), seen, scans)
        return cut, drawn.gain, which, where

    def _draw_where(self, maps: TissueMaps, seen: Probe, generator: torch.Generator) -> int:
        if self.lesion_slices and float(torch.rand((), generator=generator)) < self.lesion_slices:
            shown = torch.nonzero(maps.lesion.sum(dim=(1, 2)) >= _LEAST_LESION * 255).flatten()
            if len(shown):
                return int(shown[torch.randint(len(shown), (), generator=generator)])
        return _draw_slice(seen.tissue, generator)

    def _patient(self, which: int) -> tuple[TissueMaps, Probe]:
        if which not in self._patients:
            self._patients[which] = read_maps(Path(self.data[which]["maps"]))
        return self._patients[which]


_SEEDS = 1 << 43
"""Seeds of studies are below."""
_LEAST_LESION = 10
"""Pixels that a lesion fills on a slice that shows it."""


def _item(pair: Tensor, gain: Tensor, which: int, where: int) -> Item:
    return {"image": pair[:1], "label": pair[1:], "gain": gain, "origin": torch.tensor([which, where])}


def _draw_slice(volume: Tensor, generator: torch.Generator) -> int:
    """A slice with some body in it: among three tries the first that holds signal, else the last.

    Args:
        volume: ``(D, H, W)``; above .1 is body.
        generator: the source of randomness.
    """
    where = 0
    for _ in range(3):
        where = int(torch.randint(volume.shape[0], (), generator=generator))
        if (volume[where] > 0.1).float().mean() > 0.1:
            break
    return where


def mix(seed: int, epoch: int, index: int) -> int:
    """One 63-bit seed from three numbers (SplitMix64), so that neighbours are unrelated."""
    value = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + index + 1) & (2**64 - 1)
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (value ^ (value >> 31)) >> 1
