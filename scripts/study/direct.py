# SPDX-License-Identifier: Apache-2.0
"""The usual way, to compare with: one network per direction, nothing shared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F


class DirectPair(nn.Module):
    """Two networks of one image to one image, behind the interface of `scripts.networks.CrossContrastNet`.

    Args:
        contrasts: names of the two contrasts; domain ``a`` first.
        a_to_b: network that makes ``b`` of ``a``.
        b_to_a: network that makes ``a`` of ``b``.
        stride: sides of what the networks see are multiples of this; images are padded for them.
    """

    def __init__(self, contrasts: Sequence[str], a_to_b: nn.Module, b_to_a: nn.Module, stride: int = 16) -> None:
        super().__init__()
        if len(contrasts) != 2 or len(set(contrasts)) != 2:
            raise ValueError(f"contrasts is {list(contrasts)}; need two different names, domain a first.")
        self.contrasts = list(contrasts)
        self.a_to_b, self.b_to_a, self.stride = a_to_b, b_to_a, stride

    def forward(self, x: torch.Tensor, target: int = 1) -> torch.Tensor:
        """Synthesise contrast ``target`` (0 or 1) from slices ``(B, 1, H, W)`` of the other one."""
        height, width = x.shape[-2:]
        padded = F.pad(x, [0, -width % self.stride, 0, -height % self.stride], mode="replicate")
        out: torch.Tensor = (self.a_to_b if target == 1 else self.b_to_a)(padded)
        return out[..., :height, :width]

    def pair(self, a: torch.Tensor, b: torch.Tensor, same_domain: bool = True) -> dict[str, torch.Tensor]:
        """Both directions of a registered pair: ``b_from_a`` and ``a_from_b``; there is no code and no other path."""
        return {"b_from_a": self(a, 1), "a_from_b": self(b, 0)}
