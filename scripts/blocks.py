# SPDX-License-Identifier: Apache-2.0
"""The parts that encoder and decoders are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn as nn
import torch.nn.functional as F

SILU_GAIN = 1.68
"""Keeps the variance of normal values through SiLU: one over the root of E[silu(x)^2] = 0.356."""


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel alone: the scale of a code carries nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, C, H, W)`` to the same shape."""
        out = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-5)
        return out.permute(0, 3, 1, 2)


def convolution(before: int, after: int, size: int = 3, stride: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """A convolution that keeps unit variance times ``gain``, without a bias at the start.

    PyTorch's default shrinks the signal with each layer until constant biases drown it: the code was then the same
    everywhere, and training stayed at the level of a fixed intensity mapping.
    """
    conv = nn.Conv2d(before, after, size, stride=stride, padding=size // 2)
    nn.init.normal_(conv.weight, std=gain / (before * size * size) ** 0.5)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "batch": nn.BatchNorm2d,
    "none": lambda channels: nn.Identity(),
}
"""Normalisations of a residual block, by name."""


class ResidualBlock(nn.Module):
    """``x + conv(act(conv(norm(x))))``.

    The statistics of the whole slice are what tells tissue from coil shading: with normalisation of each pixel alone,
    training took several times as long to do better than a fixed intensity mapping.

    Args:
        channels: of input and output.
        norm: one of `NORMS`.
    """

    def __init__(self, channels: int, norm: str = "instance") -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm is {norm!r}; choose one of {', '.join(NORMS)}.")
        self.norm = NORMS[norm](channels)
        self.conv1 = convolution(channels, channels)
        self.conv2 = convolution(channels, channels, gain=0.3 * SILU_GAIN)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, C, H, W)`` to the same shape."""
        return x + self.conv2(F.silu(self.conv1(self.norm(x))))


BINS, BIN_WIDTH = 9, 0.15
"""Number of soft bins of brightness, from 0 up, and their distance on the fixed scale."""
SURROUNDINGS = (4, 16)
"""Blocks [pixels] whose 5 x 5 mean is a pixel's surroundings, near and far."""
CONTRAST_FLOOR = 0.05
"""Added to brightness, so that the logarithm is quiet in air."""


class IntensityBasis(nn.Module):
    """What a pixel's brightness may mean: how bright it is, and how bright against its surroundings.

    Coil shading makes brightness alone ambiguous. Soft bins let the first convolution take any function of brightness,
    and the logarithm of a pixel over the mean around it hardly feels a smooth shading. All are fixed functions of the
    image.

    Args:
        in_channels: channels of the image; each is expanded by itself.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.bins, self.width = BINS, BIN_WIDTH
        self.near, self.far, self.floor = SURROUNDINGS[0], SURROUNDINGS[1], CONTRAST_FLOOR
        self.out_channels = in_channels * (1 + BINS + len(SURROUNDINGS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, C, H, W)`` on the fixed scale to ``(B, out_channels, H, W)``."""
        number = torch.arange(self.bins, dtype=x.dtype, device=x.device).view(1, 1, -1, 1, 1)
        bins = torch.exp(-(x.unsqueeze(2) / self.width - number).square()).flatten(1, 2)
        standard = (x - 0.3) * 3.0  # a usual slice has mean .3 and deviation a third on the fixed scale
        return torch.cat((standard, bins, self.contrast(x, self.near), self.contrast(x, self.far)), dim=1)

    def contrast(self, x: torch.Tensor, block: int) -> torch.Tensor:
        """Logarithm of brightness over the mean of the surroundings, same shape."""
        bright = x.clamp(min=0)
        mean = F.avg_pool2d(bright, block, ceil_mode=True, count_include_pad=False)
        mean = F.avg_pool2d(mean, 5, stride=1, padding=2, count_include_pad=False)
        mean = F.interpolate(mean, size=[x.shape[-2], x.shape[-1]], mode="bilinear", align_corners=False)
        return torch.log((bright + self.floor) / (mean + self.floor))
