# SPDX-License-Identifier: Apache-2.0
"""What might beat the default, each a row of the grid. What wins moves into the bundle's own network, data or loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from scripts.blocks import SILU_GAIN, ResidualBlock, convolution
from scripts.data.augmentation import Augmentation
from scripts.data.slices import Item, SimulatedSlices
from scripts.inferers import SliceStackInferer
from scripts.losses import CrossContrastLoss
from scripts.networks import CrossContrastNet
from scripts.simulation.training import scan_cuts


class HintedNet(CrossContrastNet):
    """Makes the other contrast as ``w * source + r``: where the hint of physics holds, only ``w`` has to be found.

    The decoders make ``w`` and ``r``. `hint` shows ``w``: the share of the source that is kept, low in fat on the way
    to PDFS. Arguments are those of `CrossContrastNet`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, out_channels=2)

    def forward(self, x: Tensor, target: int = 1) -> Tensor:
        """See `CrossContrastNet.forward`."""
        return _hinted(super().forward(x, target), x)

    def hint(self, x: Tensor, target: int = 1) -> Tensor:
        """The map ``w`` of slices ``(B, 1, H, W)``."""
        return super().forward(x, target)[:, :1]

    def pair(self, a: Tensor, b: Tensor, same_domain: bool = False) -> dict[str, Tensor]:
        """See `CrossContrastNet.pair`. There are no same-domain paths: ``w = 1`` would be all of them."""
        if same_domain:
            raise ValueError("HintedNet copies on a same-domain path; need loss_weights without recon.")
        paths = super().pair(a, b, same_domain=False)
        crossed = {"b_from_a": _hinted(paths["b_from_a"], a), "a_from_b": _hinted(paths["a_from_b"], b)}
        return paths | crossed


def _hinted(made: Tensor, source: Tensor) -> Tensor:
    return made[:, :1] * source + made[:, 1:]


class LargeKernelBlock(nn.Module):
    """``x + wide(act(norm(depthwise(x))))`` with a 7 x 7 depthwise convolution.

    From ConvNeXt (Liu 2022, arXiv:2201.03545), but its norm is that of whole slices and not of pixels;
    `scripts.blocks.ResidualBlock` has the reason.

    Args:
        channels: of input and output.
        expansion: of the channels between the two 1 x 1 convolutions.
    """

    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        nn.init.normal_(self.depthwise.weight, std=1 / 7)
        self.norm = nn.InstanceNorm2d(channels, affine=True)
        self.widen = convolution(channels, expansion * channels, size=1)
        self.narrow = convolution(expansion * channels, channels, size=1, gain=0.3 * SILU_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        return x + self.narrow(F.silu(self.widen(self.norm(self.depthwise(x)))))


class LargeKernelNet(CrossContrastNet):
    """A `CrossContrastNet` whose residual blocks are `LargeKernelBlock`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for parent in list(self.modules()):
            for name, block in list(parent.named_children()):
                if isinstance(block, ResidualBlock):
                    setattr(parent, name, LargeKernelBlock(block.conv1.in_channels))


class NeighbourInferer(SliceStackInferer):
    """Gives the network each slice between its neighbours, see `NeighbourNet`."""

    def sources(self, volumes: Tensor) -> Tensor:
        """Volumes ``(B, 1, D, H, W)`` to ``(B * D, 3, H, W)``; the outermost slices are their own neighbours."""
        before = torch.cat((volumes[:, :, :1], volumes[:, :, :-1]), dim=2)
        after = torch.cat((volumes[:, :, 1:], volumes[:, :, -1:]), dim=2)
        return torch.cat((before, volumes, after), dim=1).transpose(1, 2).flatten(0, 1)


class NeighbourNet(CrossContrastNet):
    """Sees three slices and makes the middle one."""

    inferer = NeighbourInferer

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, in_channels=3)


class SimulatedNeighbours(SimulatedSlices):
    """Simulated slices between their neighbours, scanned alike but for the noise: inputs are ``(3, H, W)``."""

    def _items(self, seeds: Sequence[int]) -> list[Item]:
        items = super()._items(seeds)
        for beside in (-1, 1):
            cuts = [self._cut(seed, beside)[0] for seed in seeds]
            cuts = [replace(cut, drawn=replace(cut.drawn, seed=cut.drawn.seed + beside)) for cut in cuts]
            for item, seen in zip(items, scan_cuts(cuts), strict=True):
                for key, given in zip(("image_input", "label_input"), seen.inputs, strict=True):
                    order = (given[None], item[key]) if beside < 0 else (item[key], given[None])
                    item[key] = torch.cat(order)
        return items


def simulated_neighbours(
    data: Sequence[Mapping[str, Any]], augmentation: Augmentation, samples: int, seed: int = 0, **_: Any
) -> SimulatedNeighbours:
    """In place of `scripts.data.training.training_slices`."""
    return SimulatedNeighbours(data, augmentation, samples, seed)


class RicianLoss(CrossContrastLoss):
    """Compares noisy magnitude targets with what noise would make of the prediction on average.

    The mean of a magnitude lies above the quiet one, most where that is dark (Rice; Gudbjartsson 1995, Magn Reson Med
    34:910). The noise is estimated from each target: the median of the finest diagonal Haar coefficients in the body
    (Donoho 1994, Biometrika 81:425). Arguments are those of `CrossContrastLoss`.
    """

    def difference(self, prediction: Tensor, target: Tensor, lesion: Tensor | None = None) -> Tensor:
        """Mean difference; images ``(B, 1, H, W)``."""
        # The mean grows with the square of a signal: a negative one would be as good as a positive one.
        below = prediction.clamp_max(0)
        return super().difference(rician_mean(prediction - below, noise_level(target)) + below, target, lesion)


def noise_level(image: Tensor) -> Tensor:
    """Standard deviation of the noise of magnitudes ``(B, 1, H, W)``, ``(B, 1, 1, 1)``; 0 where there is no body."""
    quads = F.pixel_unshuffle(image[..., : image.shape[-2] // 2 * 2, : image.shape[-1] // 2 * 2], 2)
    diagonal = (quads[:, 0] - quads[:, 1] - quads[:, 2] + quads[:, 3]).abs() / 2
    body = quads.mean(1) > 0.1
    levels = [
        one[inside].median() / 0.6745 if inside.any() else one.sum() * 0
        for one, inside in zip(diagonal, body, strict=True)
    ]
    return torch.stack(levels)[:, None, None, None]


def rician_mean(quiet: Tensor, sigma: Tensor) -> Tensor:
    """Mean magnitude of a signal in complex noise of standard deviation ``sigma`` per part, same shape as ``quiet``."""
    sigma = sigma.clamp_min(1e-4)
    x = quiet.square() / (4 * sigma.square())
    return sigma * math.sqrt(math.pi / 2) * ((1 + 2 * x) * torch.special.i0e(x) + 2 * x * torch.special.i1e(x))
