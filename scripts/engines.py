# SPDX-License-Identifier: Apache-2.0
"""MONAI engines for the four paths of shared-content translation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from ignite.engine import Engine, Events
from ignite.metrics import Average
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.inferers import Inferer
from monai.utils.enums import CommonKeys as Keys
from torch.optim.swa_utils import AveragedModel

from scripts.body import body_mask
from scripts.inferers import has_fast_bfloat16
from scripts.losses import TERMS
from scripts.metrics.body import fill_body
from scripts.networks import CrossContrastNet

CLEAN = "_clean"
Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def _plain(image: torch.Tensor) -> torch.Tensor:
    """The voxels without their geometry, which a step does not need and would pay for."""
    return image.as_tensor() if isinstance(image, MetaTensor) else image


class CrossContrastTrainer(SupervisedTrainer):
    """One step: encode both contrasts, decode all four paths, step on the weighted losses.

    ``state.metrics`` holds the epoch's means of ``loss`` and of each term, ``state.output`` those of the step and the
    batch. A dataset with ``set_epoch`` is told the epoch before it starts.

    Args:
        network: the network to follow.
        decay: weight of the past after many steps; after ``n`` steps it is at most ``(1 + n) / (10 + n)``.
    """

    def average(past: Tensors, now: Tensors, count: torch.Tensor | int) -> None:
        steps = float(count)
        torch._foreach_lerp_(past, now, 1 - min(decay, (1 + steps) / (10 + steps)))

    return AveragedModel(network, multi_avg_fn=average)
