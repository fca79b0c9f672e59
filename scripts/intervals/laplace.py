# SPDX-License-Identifier: Apache-2.0
"""The negative log-likelihoods that a scale, and the tissue that goes with it, are learnt by."""

from __future__ import annotations

import torch


class LaplaceLoss(torch.nn.Module):
    """``|e| / b + log b``: least where ``b`` is the mean absolute error of pixels that look alike.

    The image whose error this is does not move, so the plain likelihood needs none of the weights (beta-NLL) that keep
    a mean from being neglected where its variance is large. Up to the constant ``log 2`` it is Laplace's, whose tails
    suit errors at edges better than Gauss's.
    """

    def forward(self, scale: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Mean over pixels.

        Args:
            scale: ``(B, 1, H, W)``, positive.
            label: ``(B, 2, H, W)``: the error, and the weight of the pixel.
        """
        error, weight = label[:, :1].abs(), label[:, 1:]
        found = error / scale + torch.log(scale)
        return (found * weight).sum() / weight.sum().clamp_min(1.0)


class ScaleAndTissueLoss(torch.nn.Module):
    """`LaplaceLoss` of the scale, and the cross-entropy of the tissue where that is known.

    Args:
        share: weight of the cross-entropy.
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share, self.scale = share, LaplaceLoss()

    def forward(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Mean over pixels.

        Args:
            pred: ``(B, 1 + T, H, W)``, what `ScaleNet` gives.
            label: ``(B, 3, H, W)``: the error, the weight of the pixel, and the number of its tissue, -1 if unknown.
        """
        found: torch.Tensor = self.scale(pred[:, :1], label[:, :2])
        tissue = label[:, 2:].long()
        weight = label[:, 1:2] * (tissue >= 0)
        surprise = -torch.log(pred[:, 1:].gather(1, tissue.clamp_min(0)) + _TINY)
        return found + self.share * (surprise * weight).sum() / weight.sum().clamp_min(1.0)


_TINY = 1e-6
