# SPDX-License-Identifier: Apache-2.0
"""How bright a scan of a whole stack would be, without scanning it: the scale of a single slice that is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.body import body_scale
from scripts.simulation.maps import TissueMaps
from scripts.simulation.scanner.coil import shading
from scripts.simulation.scanner.field import off_resonance, transmit
from scripts.simulation.scanner.plan import CURVES, WATER_CURVES, Plan, hits
from scripts.simulation.scanner.scan import Environment, Scan
from scripts.simulation.scanner.vendor import prescan
from scripts.simulation.tissue import INDEX

STEP = 8
"""Every which row and column of a stack is looked at."""
_BLUR = (0.25, 0.5, 0.25)
"""Weights of a pixel and its neighbours along rows and columns: about the point spread of a usual scan."""


@dataclass(frozen=True)
class Probe:
    """Some voxels of a stack, evenly over all of it, each with what its neighbours add to its image.

    Args:
        shares: of each compartment, float16 ``(C, D, h, w)``.
        points: LPS positions [mm], float32 ``(3, D, h, w)``.
    """

    shares: Tensor
    points: Tensor

    @property
    def tissue(self) -> Tensor:
        """Share of each voxel that is not air, ``(D, h, w)``."""
        return 1 - self.shares[INDEX["air"]].float()


def probe(maps: TissueMaps, step: int = STEP) -> Probe:
    """Look at every slice of a stack, at every ``step``-th row and column."""
    slices, rows, columns = maps.labels.shape
    row, column = (torch.arange(size // 2 % step, size, step) for size in (rows, columns))
    found = []
    for index in range(slices):
        dense = maps.dense(index).cpu()
        total = torch.zeros(len(dense), len(row), len(column))
        for down, weight in enumerate(_BLUR, -1):
            at_row = (row + down).clamp(0, rows - 1)
            for along, other in enumerate(_BLUR, -1):
                at_column = (column + along).clamp(0, columns - 1)
                total += weight * other * dense[:, at_row[:, None], at_column]
        found.append(total.half())
    places = torch.meshgrid(torch.arange(slices), row, column, indexing="ij")
    stacked = torch.stack([*places, torch.ones_like(places[0])]).double()
    points = torch.tensordot(maps.affine_lps.double().cpu()[:3], stacked, dims=1).float()
    return Probe(torch.stack(found, dim=1), points)


def brightness(
    seen: Probe,
    scan: Scan,
    plan: Plan,
    environment: Environment,
    seed: int,
    as_if: Scan | None = None,
) -> float:
    """The 99.5th percentile in the body of a scan of the whole stack: what the fixed scale calls 1.0.

    Within some 5 % (one sigma) of what scanning the stack gives: the point spread is a usual one, not the scan's own;
    shading, suppression and noise are its own.

    Args:
        seen: voxels of the stack.
        scan: sequence, suppression and noise level.
        plan: of the scan, for these tissues; made for any size of image.
        environment: coil and fields.
        seed: of the noise.
        as_if: the scan whose processing the image has; None is ``scan`` itself.
    """
    middle = plan.phase[:CURVES, 0]
    turn = middle[middle.abs().argmax()]
    middle = (middle * (turn.conj() / turn.abs())).real
    signal = _of(seen, middle @ plan.shares)
    b1 = transmit(environment.field, seen.points)
    if plan.taken is not None and scan.suppression is not None:
        taken, water = plan.taken, middle[:WATER_CURVES]
        error = off_resonance(environment.field, seen.points)
        hit = hits(scan.suppression, error, b1, environment.field_strength)
        signal = signal - hit[0] * _of(seen, water @ taken[:WATER_CURVES])
        signal = signal - hit[1] * _of(seen, water @ taken[WATER_CURVES : 2 * WATER_CURVES])
        signal = signal - hit[2] * _of(seen, middle[WATER_CURVES:] @ taken[2 * WATER_CURVES :])
    sensitivity = shading(environment.coil, seen.points)
    signal = signal * sensitivity * torch.sin(b1 * torch.pi / 2) ** 3
    generator = torch.Generator().manual_seed(seed)
    real, imaginary = plan.sigma * torch.randn(2, *signal.shape, generator=generator)
    magnitude = torch.hypot(signal + real, imaginary)
    return body_scale(magnitude * prescan((as_if or scan).vendor, sensitivity))


def _of(seen: Probe, value: Tensor) -> Tensor:
    """A value of each compartment ``(C,)`` averaged over the shares of each voxel, ``(D, h, w)``."""
    return torch.tensordot(value, seen.shares.float(), dims=1)
