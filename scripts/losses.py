# SPDX-License-Identifier: Apache-2.0
"""The three losses of shared-content translation, each on its own and weighted."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn as nn
import torch.nn.functional as F

TERMS = ("content", "recon", "cross")


class CrossContrastLoss(nn.Module):
    """Weighted sum of content, recon and cross.

    ``content = |z_a - z_b|``, ``recon = |a_from_a - a| + |b_from_b - b|``, ``cross = |b_from_a - b| + |a_from_b - a|``,
    each ``| |`` the mean absolute difference. Images may instead be compared by the smooth absolute difference (Huber's
    over its threshold): a network that cannot tell fat from fluid yet answers the median, which is fat, to the absolute
    difference, and the mean, from which it can be corrected, to the squared one.

    Args:
        weights: one weight per term of `TERMS`.
        squared_below: differences between images below this count squared, ``d^2 / (2 squared_below)``, those above as
            ``d - squared_below / 2``; 0 is the absolute difference.

    Raises:
        ValueError: for a missing, unknown or negative weight, or a negative threshold.
    """

    def __init__(self, weights: Mapping[str, float], squared_below: float = 0.0) -> None:
        super().__init__()
        if set(weights) != set(TERMS) or min(weights.values()) < 0:
            raise ValueError(f"loss_weights is {dict(weights)}; need one weight >= 0 for each of {', '.join(TERMS)}.")
        if squared_below < 0:
            raise ValueError(f"squared_below is {squared_below:g}; need 0 or a positive difference between images.")
        self.weights = {term: float(weights[term]) for term in TERMS}
        self.squared_below = float(squared_below)

    def forward(self, paths: Mapping[str, torch.Tensor], a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the terms.

        Args:
            paths: what `CrossContrastNet.pair` returns; a network without a code or without same-domain paths leaves
                them out, and their terms are zero.
            a: target of contrast ``a``, ``(B, 1, H, W)``.
            b: target of contrast ``b``.

        Returns:
            Scalars ``loss`` (weighted) and one per term (unweighted), in float32.
        """

        def distance(x: str, y: torch.Tensor) -> torch.Tensor:
            return F.smooth_l1_loss(paths[x].float(), y.float(), beta=self.squared_below)

        nothing = torch.zeros((), device=a.device)
        terms = {
            "content": F.l1_loss(paths["z_a"].float(), paths["z_b"].float()) if "z_a" in paths else nothing,
            "recon": distance("a_from_a", a) + distance("b_from_b", b) if "a_from_a" in paths else nothing,
            "cross": distance("b_from_a", b) + distance("a_from_b", a),
        }
        loss = sum((weight * terms[term] for term, weight in self.weights.items()), nothing)
        return {"loss": loss, **terms}
