# SPDX-License-Identifier: Apache-2.0
"""Slices to train the scale head on, out of cached predictions, and how a batch of them reaches the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import PrepareBatch
from torch import Tensor
from torch.utils.data import Dataset

from scripts.intervals.scale_network import TISSUES

MOST_WEIGHT = 10.0
"""Of a pixel of a rare tissue: more, and a few pixels of one patient would decide."""
_HALF = 0.5


class PredictedSlices(Dataset[dict[str, Tensor]]):
    """Slices as a function of seed, epoch and index, so that a killed run goes on as if it had not been.

    Args:
        files: what `cached_predictions` gave.
        samples: slices of an epoch, drawn at random; 0: all of them, in order and as they are.
        seed: of the draws.
        tissues: what `tissues_of_predictions` gave for these files; where it is known, rare tissues weigh as much as
            frequent ones, as far as `MOST_WEIGHT` allows.
        every: so many slices, one is used, the first included: those that ``tissues`` has.
    """

    def __init__(
        self,
        files: Sequence[Path],
        samples: int = 0,
        seed: int = 0,
        tissues: Sequence[Tensor | None] = (),
        every: int = 1,
    ) -> None:
        if not files:
            raise ValueError("no predictions to train the scale head on; need at least one pair")
        self.samples, self.seed, self.epoch = samples, seed, 0
        cases = [torch.load(path, weights_only=True, mmap=True) for path in files]
        known = list(tissues) or [None] * len(cases)
        self._places = [
            (case, index, None if tissue is None else tissue[index // every])
            for case, tissue in zip(cases, known, strict=True)
            for index in range(0, len(case["inputs"]), every)
        ]
        self._weights = self._balanced()

    def __len__(self) -> int:
        return self.samples or len(self._places)

    def set_epoch(self, epoch: int) -> None:
        """Draw anew."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """``image`` ``(3, H, W)``, ``label`` ``(3, H, W)`` (see `ScaleAndTissueLoss`) and ``target``."""
        if not self.samples:
            case, place, tissue = self._places[index]
            flips: list[int] = []
        else:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) * 1_000_003 + index)
            drawn = torch.rand(3, generator=generator)
            case, place, tissue = self._places[int(drawn[0] * len(self._places))]
            flips = [axis for axis, one in zip((-1, -2), drawn[1:], strict=True) if one < 0.5]
        image, (error, body) = case["inputs"][place].float(), case["label"][place].float()
        number = torch.full_like(body, -1) if tissue is None else tissue.float()
        weight = body if tissue is None else body * self._weights[tissue.long()]
        label = torch.stack((error, weight, number))
        return {"image": image.flip(flips), "label": label.flip(flips), "target": torch.tensor(case["target"])}

    def _balanced(self) -> Tensor:
        """Weight of a pixel of each tissue, its mean over pixels 1 but for the cap."""
        counts = torch.zeros(len(TISSUES))
        for case, place, tissue in self._places:
            if tissue is not None:
                inside = tissue[case["label"][place, 1] > _HALF].long()
                counts += torch.bincount(inside, minlength=len(TISSUES))
        wanted = counts.sum() / (len(TISSUES) * counts.clamp_min(1))
        return wanted.clamp(max=MOST_WEIGHT)


class PrepareScaleBatch(PrepareBatch):
    """Hand the network the image and the direction of each slice."""

    def __call__(
        self, batchdata: Mapping[str, Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor, tuple[Tensor], dict[str, Any]]:
        """Inputs, labels, and the network's further arguments."""
        image, label, target = (batchdata[key].to(device, non_blocking=non_blocking) for key in _KEYS)
        return image, label, (target,), {}


_KEYS = ("image", "label", "target")


class TellEpoch:
    """Handler that tells a dataset which epoch begins.

    Args:
        dataset: has ``set_epoch``.
    """

    def __init__(self, dataset: PredictedSlices) -> None:
        self.dataset = dataset

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self.dataset.set_epoch(engine.state.epoch))
