# SPDX-License-Identifier: Apache-2.0
"""Evidence of the code: does it differ between places, and is it the same for both contrasts?"""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.diagnosis.evidence import Latent


def latent_evidence(z_a: Tensor, z_b: Tensor) -> Latent:
    """Scale, rank and agreement of the codes of pairs.

    Args:
        z_a: codes of contrast a, ``(N, C, h, w)``.
        z_b: codes of contrast b.
    """
    z_a, z_b = z_a.float(), z_b.float()
    channels = z_a.shape[1]
    pixels = torch.cat((z_a, z_b)).movedim(1, -1).reshape(-1, channels).double()
    centred = pixels - pixels.mean(0)
    deviation = float(centred.square().mean().sqrt())
    size = float(pixels.square().mean().sqrt())
    least = max(deviation, 1e-12)
    return Latent(
        content=float((z_a - z_b).abs().mean()) / least,
        unrelated=float((z_a - z_b.roll(1, 0)).abs().mean()) / least,
        deviation=deviation,
        variation=deviation / max(size, 1e-12),
        rank=effective_rank(centred),
        channels=channels,
    )


def effective_rank(rows: Tensor) -> float:
    """Exponential of the entropy of the normalised singular values (Roy and Vetterli, EUSIPCO 2007).

    Args:
        rows: ``(n, C)``, centred.

    Returns:
        From 1, for rows along one direction, to ``min(n, C)``; 0 for rows of zeros.
    """
    values = torch.linalg.eigvalsh(rows.T @ rows).clamp(min=0).sqrt()  # the singular values
    total = values.sum()
    if float(total) <= 1e-12:
        return 0.0
    share = values / total
    return float(torch.exp(-torch.xlogy(share, share).sum()))
