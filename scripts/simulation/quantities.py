# SPDX-License-Identifier: Apache-2.0
"""Proton density, T1, T2 and fat fraction of voxels that hold several tissues."""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.maps import TissueMaps
from scripts.simulation.tissue import FAT, TissueTable


def quantities(maps: TissueMaps, tissues: TissueTable) -> dict[str, Tensor]:
    """Parameter maps of a stack.

    Args:
        maps: shares of the tissues.
        tissues: their values.

    Returns:
        ``proton_density`` relative to free fluid, the sum over the tissues; ``t1`` and ``t2`` [s], means over the
        tissues, weighted with their proton density (a voxel of several tissues has no single one); ``fat_fraction``,
        the share of the proton density that is fat. Each float32 ``(D, H, W)``; where there are no protons all are 0.
    """
    rows = torch.stack((torch.ones_like(tissues.t1), tissues.t1, tissues.t2, FAT.float())) * tissues.density
    slices = []
    for index in range(maps.labels.shape[0]):
        shares = maps.dense(index)
        total, *sums = torch.tensordot(rows.to(shares.device), shares, dims=1)
        slices.append(torch.stack([total, *(one / total.clamp_min(1e-6) for one in sums)]))
    found = torch.stack(slices, dim=1)
    return dict(zip(("proton_density", "t1", "t2", "fat_fraction"), found, strict=True))
