# SPDX-License-Identifier: Apache-2.0
"""The scale head: a small network that says how far another network's image may be off, and in what tissue."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F

from scripts.blocks import SILU_GAIN, IntensityBasis, ResidualBlock, convolution

CHANNELS = ("source", "prediction", "spread")
"""What the head sees of each pixel, all on the fixed scale."""
TISSUES = (
    "subcutaneous fat",
    "marrow",
    "muscle",
    "cartilage",
    "fluid",
    "meniscus",
    "ligament or tendon",
    "cortical bone",
    "other",
)
"""What a pixel may be of, as the head tells it; the last for all that none of the others is."""
TYPICAL, LEAST = 0.03, 0.002
"""Scale at the start and the smallest one: far below a grey step that anybody sees."""
_QUIET_SPREAD = 0.003


class ScaleNet(nn.Module):
    """Scale of a Laplace error for each pixel of a synthesis, and the tissue that the pixel seems to be of.

    Looks at the image that went in, the one that came out, and how far two runs on the same slice, one of them
    mirrored, lie apart. It moves no pixel of the synthesis. Works at half resolution, with a thin path at full
    resolution for edges.

    Args:
        features: channels at strides 2, 4, 8, ...
        fine: channels of the full-resolution path.
        norm: normalisation in the residual blocks, one of `scripts.blocks.NORMS`.
    """

    def __init__(self, features: Sequence[int] = (16, 32, 48), fine: int = 12, norm: str = "instance") -> None:
        super().__init__()
        self.basis = IntensityBasis(2)
        seen = self.basis.out_channels + 2  # spread, and which of the two directions it is
        self.stride = 2 ** len(features)
        self.stem = convolution(seen, features[0], stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(nn.SiLU(), convolution(before, after, stride=2, gain=SILU_GAIN))
            for before, after in itertools.pairwise(features)
        )
        self.blocks = nn.ModuleList(ResidualBlock(width, norm) for width in features)
        self.up = nn.ModuleList(
            nn.Sequential(nn.SiLU(), convolution(before + after, after, gain=SILU_GAIN))
            for before, after in zip(features[:0:-1], features[-2::-1], strict=True)
        )
        self.fine = convolution(seen, fine, size=1)
        self.merge = convolution(features[0] + fine, fine, gain=SILU_GAIN)
        self.head = convolution(fine, 1 + len(TISSUES), size=1, gain=0.1 * SILU_GAIN)

    def forward(self, x: torch.Tensor, target: int | torch.Tensor = 1) -> torch.Tensor:
        """Give the scale and the tissues.

        Args:
            x: ``(B, 3, H, W)``, see `CHANNELS`, any height and width.
            target: contrast that was synthesised, 0 or 1, or one such number for each image, ``(B,)``.

        Returns:
            ``(B, 1 + T, H, W)``, float32: the scale, at least `LEAST`, on the fixed scale of the synthesis; and the
            probability of each of `TISSUES`, their sum 1.
        """
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        spread = torch.log(padded[:, 2:3].clamp_min(0) + _QUIET_SPREAD) + 4.0
        number = torch.as_tensor(target, device=x.device).reshape(-1, 1, 1, 1)
        which = (2.0 * number - 1.0).to(spread.dtype).expand_as(spread)
        seen = torch.cat((self.basis(padded[:, :2]), spread, which), dim=1)
        z = self.blocks[0](self.stem(seen))
        skips = []
        for down, block in zip(self.down, self.blocks[1:], strict=True):
            skips.append(z)
            z = block(down(z))
        for up, skip in zip(self.up, reversed(skips), strict=True):
            z = up(torch.cat((_doubled(z), skip), dim=1))
        z = F.silu(self.merge(F.silu(torch.cat((_doubled(z), self.fine(seen)), dim=1))))
        raw = self.head(z)[..., :height, :width].float()
        scale = LEAST + TYPICAL * torch.exp(raw[:, :1].clamp(-6.0, 4.0))
        return torch.cat((scale, raw[:, 1:].softmax(1)), dim=1)


def _doubled(z: torch.Tensor) -> torch.Tensor:
    return F.interpolate(z, scale_factor=2.0, mode="bilinear", align_corners=False)
