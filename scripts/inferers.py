# SPDX-License-Identifier: Apache-2.0
"""Synthesis of a whole volume, slice by slice, in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer

from scripts.devices import has_fast_bfloat16, is_out_of_device_memory

logger = logging.getLogger(__name__)

MOST_MAGNIFIED = 2.0
"""Beyond that a slice holds nothing that the network could see better."""


def magnification(shape: tuple[int, int], least_side: int) -> float:
    """By how much slices of some rows and columns are magnified for the network, 1 to `MOST_MAGNIFIED`.

    Args:
        shape: rows and columns.
        least_side: of the shorter side [pixels]; 0 never magnifies.
    """
    return min(max(1.0, least_side / min(shape)), MOST_MAGNIFIED)


class SliceStackInferer(Inferer):
    """Run a slice network over a stack.

    Args:
        contrasts: names of the two contrasts, domain ``a`` first, as the network was built with.
        target: contrast to synthesise; a call may name another.
        batch_size: slices per forward pass; memory grows with it, results do not change. Where a GPU has no memory for
            so many, the rest of the volume goes on with half of them, down to one.
        least_side: slices whose shorter side has fewer pixels are magnified to so many before the network, at most by
            `MOST_MAGNIFIED`, and what comes out is brought back; 0 never. What few pixels show is understood worse.
        autocast: compute in bfloat16 where the device does it in hardware.
        progress: called with the number of slices done after each batch.
    """

    def __init__(
        self,
        contrasts: Sequence[str],
        target: str = "PDFS",
        batch_size: int = 4,
        least_side: int = 0,
        autocast: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__()
        self.contrasts, self.batch_size, self.autocast = list(contrasts), int(batch_size), autocast
        self.least_side = int(least_side)
        self.target, self.progress = target, progress
        self._index(target)

    def _index(self, target: str) -> int:
        if target not in self.contrasts:
            raise ValueError(f"Target contrast {target!r} is unknown; need one of {', '.join(self.contrasts)}.")
        return self.contrasts.index(target)

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], target: str | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """Synthesise the target contrast of a stack.

        Args:
            inputs: ``(B, 1, D, H, W)`` normalised source volumes in display orientation.
            network: takes ``(n, 1, H, W)`` and the index of the target.
            target: contrast to synthesise; the constructor's if None.
            kwargs: ignored; engines pass extra arguments.

        Returns:
            Non-negative target volumes, same shape, float32, on the fixed scale.
        """
        index = self._index(self.target if target is None else target)
        if isinstance(inputs, MetaTensor):  # a batch of slices no longer has the geometry of its volume
            inputs = inputs.as_tensor()
        if inputs.ndim != 5 or inputs.shape[1] != 1:
            raise ValueError(f"Input has shape {tuple(inputs.shape)}; need (batch, 1, slices, rows, columns).")
        volumes, _, depth = inputs.shape[:3]
        stack = self.sources(inputs)
        shape = (int(inputs.shape[3]), int(inputs.shape[4]))
        magnified = magnification(shape, self.least_side)
        size = (round(magnified * shape[0]), round(magnified * shape[1]))
        dtype = torch.bfloat16
        use = self.autocast and has_fast_bfloat16(inputs.device)
        out: list[torch.Tensor] = []
        done, at_once = 0, self.batch_size
        with torch.no_grad(), torch.autocast(inputs.device.type, dtype=dtype, enabled=use):
            while done < len(stack):
                batch = resized(stack[done : done + at_once].float(), size)
                batch = batch.contiguous(memory_format=torch.channels_last)
                try:
                    out.append(resized(network(batch, index).float(), shape).clamp_min(0))
                except RuntimeError as error:
                    if len(batch) == 1 or not is_out_of_device_memory(error):
                        raise
                    at_once = len(batch) // 2
                    logger.info("No memory for %d slices at once; going on with %d", len(batch), at_once)
                    continue
                done += len(batch)
                if self.progress is not None:
                    self.progress(done)
        return torch.cat(out).unflatten(0, (volumes, depth)).transpose(1, 2).contiguous()

    def sources(self, volumes: torch.Tensor) -> torch.Tensor:
        """What the network is given for each slice: volumes ``(B, 1, D, H, W)`` to ``(B * D, 1, H, W)``."""
        return volumes.transpose(1, 2).flatten(0, 1)


def resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Images ``(n, c, rows, columns)`` on another number of pixels over the same field of view, by cubic splines.

    Non-negative in, as the overshoot beside edges is cut off; without aliasing where there are fewer.
    """
    if tuple(images.shape[2:]) == tuple(size):
        return images
    with torch.autocast(images.device.type, enabled=False):
        made = torch.nn.functional.interpolate(
            images.float(), size=size, mode="bicubic", align_corners=False, antialias=size[0] < images.shape[2]
        )
    return made.clamp_min(0)
