# SPDX-License-Identifier: Apache-2.0
"""How bright a scan of a whole stack would be, without scanning it: the scale of a single slice that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.body import body_scale
from scripts.simulation.maps import TissueMaps
from scripts.simulation.scanner.coil import shading
from scripts.simulation.scanner.field import off_resonance, transmit
from scripts.simulation.scanner.imaging import Frame
from scripts.simulation.scanner.k_space import lines, weights
from scripts.simulation.scanner.noise import amplification
from scripts.simulation.scanner.plan import hits, muscle_signal
from scripts.simulation.scanner.scan import Scan
from scripts.simulation.scanner.vendor import prescan
from scripts.simulation.signal import not_regrown, turbo_spin_echo
from scripts.simulation.tissue import COMPARTMENTS, FAT, INDEX

_TRANSFER = torch.tensor([tissue.transfer for tissue in COMPARTMENTS])
STEP = 10
"""Every which row and column of a stack is looked at."""
_BLUR = (0.25, 0.5, 0.25)
"""Weights of a pixel and its neighbours along rows and columns, about the point spread of a usual scan."""
_LINES = 64
"""Lines of k-space from which a scan's sharpness is found."""


@dataclass(frozen=True)
class Probe:
    """Some voxels of a stack, evenly over all of it.

    Args:
        shares: of each compartment, in each voxel alone and blurred with its neighbours, float16 ``(C, 2, D, h, w)``.
        points: LPS positions [mm], float32 ``(3, D, h, w)``.
    """

    shares: Tensor
    points: Tensor

    @property
    def tissue(self) -> Tensor:
        """Share of each voxel that is not air, ``(D, h, w)``."""
        return 1 - self.shares[INDEX["air"], 0].float()


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
        found.append(torch.stack((dense[:, row[:, None], column], total), dim=1).half())
    places = torch.meshgrid(torch.arange(slices), row, column, indexing="ij")
    stacked = torch.stack([*places, torch.ones_like(places[0])]).double()
    points = torch.tensordot(maps.affine_lps.double().cpu()[:3], stacked, dims=1).float()
    return Probe(torch.stack(found, dim=2), points)


def brightness(seen: Probe, frames: Sequence[Frame]) -> list[float]:
    """The 99.5th percentile in the body of scans of a whole stack: what the fixed scale calls 1.0.

    Within some 5 % (one sigma) of what scanning the stack gives: a scan's point spread counts with its width only, its
    ghosts, motion and metal do not count.

    Args:
        seen: voxels of the stack.
        frames: a slice of each scan, in one environment.
    """
    around = frames[0].environment
    b1, error = transmit(around.field, seen.points), off_resonance(around.field, seen.points)
    sensitivity = shading(around.coil, seen.points)
    rows = [_signals(frame) for frame in frames]
    signals = torch.tensordot(torch.cat(rows).float(), seen.shares.float(), dims=1)
    shaded = sensitivity * torch.sin(b1 * torch.pi / 2) ** 3
    scales = []
    for frame, signal in zip(frames, signals.split([len(row) for row in rows]), strict=True):
        whole = signal[0]
        if len(signal) > 1 and frame.scan.suppression is not None:
            for hit, part in zip(
                hits(frame.scan.suppression, error, b1, around.field_strength), signal[1:], strict=True
            ):
                whole = whole - hit * part
        sharp, blurred = whole
        magnitude = _noisy((blurred + _sharpness(frame.geometry) * (sharp - blurred)) * shaded, frame)
        scales.append(body_scale(magnitude * prescan(frame.geometry.vendor, sensitivity)))
    return scales


def _signals(frame: Frame) -> Tensor:
    """Signal of each compartment, and what a pulse takes of its water, olefinic and main lines, ``(1 or 4, C)``."""
    sequence, pulse, tissues = frame.scan.sequence, frame.scan.suppression, frame.tissues
    full = tissues.density * _TRANSFER ** (sequence.transfer - 1) * turbo_spin_echo(sequence, tissues.t1, tissues.t2)
    if pulse is None:
        return full[None]
    missing = full * not_regrown(pulse, tissues.t1)
    taken = torch.stack((missing * ~FAT, missing * FAT * pulse.olefinic, missing * FAT * (1 - pulse.olefinic)))
    if not frame.nominal:
        return torch.cat((full[None], taken))
    hit = hits(pulse, torch.zeros(1), torch.ones(1), frame.environment.field_strength)
    return (full - (hit * taken).sum(0))[None]


def _noisy(signal: Tensor, frame: Frame) -> Tensor:
    """Magnitude with the noise of the scan, if it has any, ``(D, h, w)``."""
    if not frame.noisy:
        return signal.abs()
    generator = torch.Generator().manual_seed(frame.seed)
    row, column = (torch.linspace(-1, 1, size) for size in signal.shape[1:])
    sigma = muscle_signal(frame.scan, frame.tissues) / frame.scan.noise.snr
    spread = sigma * amplification(frame.scan.noise, row[:, None], column)
    real, imaginary = spread * torch.randn(2, *signal.shape, generator=generator)
    others = 2 * (frame.environment.coil.receivers - 1) * spread.square()  # receivers that see only noise there
    return ((signal.abs() + real).square() + imaginary.square() + others).sqrt()


def _sharpness(scan: Scan) -> float:
    """Where a scan's point spread lies between `_BLUR` (0) and none (1), by how high a thin line stands in it."""
    read, gain = scan.readout, scan.vendor.sharpening / 2
    heights = []
    for share, fourier in ((read.matrix[0], 1.0), (read.matrix[1], read.partial_fourier)):
        step = lines(_LINES) / (share * _LINES / 2)
        heights.append(float((weights(_LINES, share, fourier, read.window) * (1 + gain * step.square())).mean()))
    return (sum(heights) / 2 - _BLUR[1]) / (1 - _BLUR[1])
