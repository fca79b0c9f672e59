# SPDX-License-Identifier: Apache-2.0
"""An anatomy sampled on the grid of a stack: the parameter maps that every sequence is then applied to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.anatomy.canvas import Anatomy
from scripts.simulation.tissue import COMPARTMENTS

KEPT = 5
"""Compartments kept per voxel; what the smaller ones hold goes to the kept ones in proportion."""


@dataclass(frozen=True)
class TissueMaps:
    """Compartments on a grid, packed.

    Args:
        compartment: number of each kept compartment, uint8 ``(K, D, H, W)``.
        share: its volume share in 255ths, uint8 ``(K, D, H, W)``.
        labels: structure with the largest share, uint8 ``(D, H, W)``.
        lesion: share that lesions changed in 255ths, uint8 ``(D, H, W)``.
        affine_lps: (slice, row, column, 1) to position [mm], float64 ``(4, 4)``.
    """

    compartment: Tensor
    share: Tensor
    labels: Tensor
    lesion: Tensor
    affine_lps: Tensor

    def dense(self, index: int | slice) -> Tensor:
        """Shares of all compartments of one slice ``(C, H, W)``, or of several ``(C, D, H, W)``; sum one."""
        compartment, share = self.compartment[:, index].long(), self.share[:, index].float()
        out = share.new_zeros(len(COMPARTMENTS), *share.shape[1:])
        return out.scatter_add_(0, compartment, share / share.sum(0))


def map_tissues(
    anatomy: Anatomy,
    affine_lps: Tensor,
    shape: tuple[int, int, int],
    thickness: float,
    sub_slices: int = 2,
    device: torch.device | str = "cpu",
) -> TissueMaps:
    """Sample an anatomy.

    Args:
        anatomy: what is scanned.
        affine_lps: (slice, row, column, 1) to position [mm], ``(4, 4)``.
        shape: slices, rows and columns.
        thickness: of a slice [mm]; it may differ from the distance between slices.
        sub_slices: thin sheets averaged across the thickness, weighted as a slice profile of that width weights them.
        device: where to compute; the result stays there.
    """
    slices, rows, columns = shape
    affine = affine_lps.to(torch.float64)
    spacing = affine[:3, 0].norm()
    in_plane = float(torch.minimum(affine[:3, 1].norm(), affine[:3, 2].norm()))
    offsets, weights = slice_profile(sub_slices)
    row, column = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64), indexing="ij"
    )
    size = (KEPT, slices, rows, columns)
    compartment, share = (torch.empty(size, dtype=torch.uint8, device=device) for _ in range(2))
    labels, lesion = (torch.empty(size[1:], dtype=torch.uint8, device=device) for _ in range(2))
    for index in range(slices):
        samples = []
        for offset in offsets:
            at = index + offset * thickness / float(spacing)
            places = torch.stack((torch.full_like(row, at), row, column, torch.ones_like(row)))
            points = torch.tensordot(affine[:3], places, dims=1).float().to(device)
            samples.append(anatomy.sample(points, in_plane))
        shares = sum(weight * sample.shares for weight, sample in zip(weights, samples, strict=True))
        changed = sum(weight * sample.lesion for weight, sample in zip(weights, samples, strict=True))
        assert isinstance(shares, Tensor) and isinstance(changed, Tensor)
        kept, compartment[:, index] = _largest(shares)
        share[:, index] = (kept / kept.sum(0) * 255).round().to(torch.uint8)
        labels[index] = samples[len(samples) // 2].labels
        lesion[index] = (changed.clamp(0, 1) * 255).round().to(torch.uint8)
    return TissueMaps(compartment, share, labels, lesion, affine)


def slice_profile(sub_slices: int) -> tuple[list[float], list[float]]:
    """Offsets of thin sheets in units of the slice thickness, and their weights (sum one).

    The profile is a Gaussian whose full width at half maximum is the nominal thickness, cut at .75 thicknesses.

    Raises:
        ValueError: for less than one sheet.
    """
    if sub_slices < 1:
        raise ValueError(f"A slice of {sub_slices} sheets cannot be sampled; need at least 1.")
    if sub_slices == 1:
        return [0.0], [1.0]
    offsets = [1.5 * ((number + 0.5) / sub_slices - 0.5) for number in range(sub_slices)]
    weights = [2.0 ** (-((2 * offset) ** 2)) for offset in offsets]
    return offsets, [weight / sum(weights) for weight in weights]


def _largest(shares: Tensor) -> tuple[Tensor, Tensor]:
    kept, which = shares.topk(KEPT, dim=0)
    return kept, which.to(torch.uint8)
