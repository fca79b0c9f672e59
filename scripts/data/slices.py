# SPDX-License-Identifier: Apache-2.0
"""Random slices of cached pairs: what a training step sees is a function of (seed, epoch, index) alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.utils import convert_to_tensor
from torch.utils.data import Dataset

from scripts.data.augmentation import Augmentation, apply_augmentation, draw_augmentation


class PairedSlices(Dataset[dict[str, torch.Tensor]]):
    """Augmented slices drawn from preprocessed volume pairs that are held in memory.

    Args:
        data: items with ``image``, ``label`` and, for noise-free pairs, ``noise`` and ``matrix``.
        transform: preprocessing of one item; runs once per item, at first use.
        augmentation: ranges of the augmentation.
        samples: slices per epoch.
        seed: with the epoch and the index it decides everything that is random.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        augmentation: Augmentation,
        samples: int,
        seed: int = 0,
    ) -> None:
        if not data:
            raise ValueError("The training set is empty; need at least one pair.")
        self.data, self.transform, self.augmentation = list(data), transform, augmentation
        self.samples, self.seed, self.epoch = int(samples), int(seed), 0
        self._volumes: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        """Slices per epoch."""
        return self.samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose slices come next, counted from 1 as in Ignite."""
        self.epoch = int(epoch)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """One augmented slice.

        Returns:
            ``image`` and ``label`` ``(1, H, W)`` float32 on the fixed scale, ``gain`` ``(2,)``: what the inputs are to
            be multiplied with, and ``origin`` ``(2,)``: item and slice, to name a batch that fails.
        """
        if not 0 <= index < self.samples:
            raise IndexError(index)
        generator = torch.Generator().manual_seed(_mix(self.seed, self.epoch, index))
        which = int(torch.randint(len(self.data), (), generator=generator))
        pair = self._pair(which)  # (2, D, H, W)
        where = _draw_slice(pair, generator)
        item = self.data[which]
        drawn = draw_augmentation(self.augmentation, (pair.shape[-2], pair.shape[-1]), generator)
        slices, gain = apply_augmentation(drawn, pair, where, item.get("noise"), item.get("matrix"), generator)
        return {"image": slices[:1], "label": slices[1:], "gain": gain, "origin": torch.tensor([which, where])}

    def _pair(self, which: int) -> torch.Tensor:
        if which not in self._volumes:
            raw = self.data[which]
            item = self.transform({key: raw[key] for key in ("image", "label")})
            image, label = torch.as_tensor(item["image"]), torch.as_tensor(item["label"])
            if image.shape != label.shape:
                raise ValueError(
                    f"Pair {which}: PD has shape {tuple(image.shape[1:])} and PDFS {tuple(label.shape[1:])}; need one "
                    "grid. Register and resample the pair first."
                )
            if "noise" in raw:  # the noise is stated in the file's units, the volumes are normalised
                scales = [_scale_of(item[key]) for key in ("image", "label")]
                self.data[which] = dict(raw) | {"noise": [s / q for s, q in zip(raw["noise"], scales, strict=True)]}
            self._volumes[which] = convert_to_tensor(torch.cat((image, label)), dtype=torch.float16, track_meta=False)
        return self._volumes[which]


def _scale_of(image: Any) -> float:
    """The divisor that `NormalizeMagnitude` recorded on an image."""
    for operation in reversed(image.applied_operations):
        if "scale" in operation.get("extra_info", {}):
            return float(operation["extra_info"]["scale"])
    raise ValueError("The pair was not normalised; put NormalizeMagnituded into the preprocessing.")


def _draw_slice(pair: torch.Tensor, generator: torch.Generator) -> int:
    """A slice with some body in it: among three tries the first that holds signal, else the last."""
    where = 0
    for _ in range(3):
        where = int(torch.randint(pair.shape[1], (), generator=generator))
        if (pair[0, where, ::8, ::8] > 0.1).float().mean() > 0.1:
            break
    return where


def _mix(seed: int, epoch: int, index: int) -> int:
    """One 63-bit seed from three numbers (SplitMix64), so that neighbours are unrelated."""
    value = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + index + 1) & (2**64 - 1)
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (value ^ (value >> 31)) >> 1
