# SPDX-License-Identifier: Apache-2.0
"""Coil, fields and noise amplification over one slice, at nodes or at every pixel."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Site:
    """What surrounds one slice whatever is scanned there, at its nodes or, near metal, its pixels ``(n, m)``.

    Args:
        seen: the coil's shading.
        b1: transmit field relative to nominal.
        error: of the static field [Hz], metal included.
        metal: the part that metal causes [Hz]; None without.
        each: sensitivities of several receivers, relative to their root sum of squares, real parts first; else None.
        row: positions from -1 to 1 over the field of view, ``(n,)``.
        column: the same along columns, ``(m,)``.
    """

    seen: Tensor
    b1: Tensor
    error: Tensor
    metal: Tensor | None
    each: Tensor | None
    row: Tensor
    column: Tensor


def site(environment: Environment, affine_lps: Tensor, index: int, shape: tuple[int, int], receivers: bool) -> Site:
    """Compute what surrounds a slice.

    Args:
        environment: coil and fields.
        affine_lps: (slice, row, column, 1) to position [mm].
        index: of the slice.
        shape: rows and columns.
        receivers: whether several receivers are wanted one by one.
    """
    near_metal = bool(environment.field.dipoles)
    row, column = (torch.arange(size, dtype=torch.float64) if near_metal else node_places(size) for size in shape)
    points = positions(affine_lps, index, row, column)
    each = None
    if receivers:
        each = sensitivities(environment.coil, points)
        each = each / each.abs().square().sum(0).sqrt()
        each = torch.cat((each.real, each.imag))
    down, across = (2 * place.float() / (size - 1) - 1 for place, size in zip((row, column), shape, strict=True))
    return Site(
        seen=shading(environment.coil, points),
        b1=transmit(environment.field, points),
        error=off_resonance(environment.field, points),
        metal=metal(environment.field, points) if near_metal else None,
        each=each,
        row=down,
        column=across,
    )


def surroundings(place: Site, scan: Scan, field_strength: float, as_if: Scan, with_hits: bool) -> Tensor:
    """Maps that one scan of a slice needs.

    Args:
        place: what surrounds the slice.
        scan: the contrast, for its suppression and noise.
        field_strength: static field [T].
        as_if: the scan whose processing the image has.
        with_hits: also what the suppression pulse takes, if there is one.

    Returns:
        Float32 ``(3 or 6 + 2 receivers, n, m)`` at the nodes of the slice, or at its pixels near metal.
    """
    # A spin echo of pulses that turn by 90 and 180 degrees times B1: sin(90 B1) sin^2(90 B1).
    excitation = torch.sin(place.b1 * torch.pi / 2) ** 3
    amplified = amplification(scan.noise, place.row[:, None], place.column)
    maps = [torch.stack((place.seen * excitation, amplified, prescan(as_if.vendor, place.seen)))]
    if with_hits and scan.suppression is not None:
        maps.append(hits(scan.suppression, place.error, place.b1, field_strength))
    if place.each is not None:
        maps.append(place.each)
    return torch.cat(maps)
