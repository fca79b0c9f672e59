# SPDX-License-Identifier: Apache-2.0
"""Coil, fields and noise amplification over one slice, at nodes or at every pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.scanner.coil import sensitivities, shading
from scripts.simulation.scanner.field import metal, off_resonance, transmit
from scripts.simulation.scanner.noise import amplification
from scripts.simulation.scanner.plan import hits
from scripts.simulation.scanner.scan import Environment, Scan
from scripts.simulation.scanner.smooth import node_places, positions
from scripts.simulation.scanner.vendor import prescan

SHADE, AMPLIFY, CORRECT, HITS = 0, 1, 2, slice(3, 6)
"""Places of the maps: factor on the object, on the noise, on the magnitude, and what a suppression pulse takes."""


def needs_pixels(environment: Environment) -> bool:
    """Whether the maps are too steep for nodes: near metal."""
    return bool(environment.field.dipoles)


def surroundings(
    scan: Scan,
    environment: Environment,
    affine_lps: Tensor,
    index: int,
    shape: tuple[int, int],
    as_if: Scan,
    with_hits: bool,
    receivers: bool,
) -> Tensor:
    """Maps of what surrounds one slice.

    Args:
        scan: the contrast, for its suppression and noise.
        environment: coil and fields.
        affine_lps: (slice, row, column, 1) to position [mm].
        index: of the slice.
        shape: rows and columns.
        as_if: the scan whose processing the image has.
        with_hits: also what the suppression pulse takes.
        receivers: also the sensitivities of several receivers, relative to their sum of squares, real parts first.

    Returns:
        Float32 ``(3 or 6 + 2 receivers, n, m)`` at the nodes of the slice, or at its pixels near metal.
    """
    if needs_pixels(environment):
        row, column = (torch.arange(size, dtype=torch.float64) for size in shape)
    else:
        row, column = (node_places(size) for size in shape)
    points = positions(affine_lps, index, row, column)
    seen, b1 = shading(environment.coil, points), transmit(environment.field, points)
    # A spin echo of pulses that turn by 90 and 180 degrees times B1: sin(90 B1) sin^2(90 B1).
    excitation = torch.sin(b1 * torch.pi / 2) ** 3
    across, down = (2 * place / (size - 1) - 1 for place, size in ((column, shape[1]), (row, shape[0])))
    amplified = amplification(scan.noise, down[:, None].float(), across.float())
    maps = [(seen * excitation)[None], amplified[None], prescan(as_if.vendor, seen)[None]]
    if with_hits and scan.suppression is not None:
        error = off_resonance(environment.field, points)
        maps.append(hits(scan.suppression, error, b1, environment.field_strength))
    if receivers:
        each = sensitivities(environment.coil, points)
        each = each / each.abs().square().sum(0).sqrt()
        maps += [each.real, each.imag]
    return torch.cat(maps)


def metal_error(environment: Environment, affine_lps: Tensor, index: int, shape: tuple[int, int]) -> Tensor:
    """Frequency error of metal at every pixel of a slice [Hz], ``(H, W)``."""
    row, column = (torch.arange(size, dtype=torch.float64) for size in shape)
    return metal(environment.field, positions(affine_lps, index, row, column))
