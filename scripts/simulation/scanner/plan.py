# SPDX-License-Identifier: Apache-2.0
"""One scan of one knee as small tensors: what each compartment gives, and what each line of k-space is multiplied with.

An image is of one contrast, but may have the geometry, point spread and readout of another scan: the noise-free other
contrast on the grid of a source is what a network is to predict from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.scanner import ghosts, k_space, noise, train, vendor
from scripts.simulation.scanner.scan import Environment, Scan
from scripts.simulation.signal import (
    FAT_LINES,
    OLEFINIC,
    OLEFINIC_LINES,
    WATER_LINES,
    FatSuppression,
    decay_rate,
    nominal_pulse,
    not_regrown,
    recovery,
    share_in_band,
    turbo_spin_echo,
    turned,
)
from scripts.simulation.tissue import COMPARTMENTS, FAT, INDEX, TissueTable

WATER_CURVES, FAT_CURVES = 4, 2
CURVES = WATER_CURVES + FAT_CURVES
"""Curves of T2 decay that stand for all compartments: those at water's position first, then displaced fat."""
MARGIN = 16
"""Pixels by which the object is continued on each side before its transform: what a displacement or turn moves into the
field of view is then anatomy beside it, and not the other end of the leg."""
_TRANSFER = torch.tensor([tissue.transfer for tissue in COMPARTMENTS], dtype=torch.float64)
_FAT = FAT.double()
_VEIN_PULSATION = 0.4
"""Pulsation of veins relative to arteries."""


@dataclass(frozen=True)
class Plan:
    """What a scan multiplies compartments and k-space with; along k-space phase encoding first, then readout.

    ``P`` and ``R`` are the sizes of the image along the phase axis and the readout with a `MARGIN` on each side.

    Args:
        shares: of each curve in each compartment ``(CURVES, C)``.
        taken: what a suppression pulse takes of it if it is in band and turned by 90 degrees: of water, of fat's lines
            around water and of displaced fat, ``(2 WATER_CURVES + FAT_CURVES, C)``; None without one, or folded in.
        blood: pulsating signal of each compartment ``(1, C)``; None without pulsation.
        phase: factor of each curve, and last of pulsating blood, on each line along the phase axis ``(.., P)``.
        readout: factor of water's and of fat's lines along the readout ``(2, R)``.
        plane: factor over all of k-space ``(P, R)`` that does not separate; None is 1.
        weights: what noise is multiplied with along both axes.
        sigma: standard deviation of the noise (real part) at the isocentre.
        fading: factor on the image along the readout, without margins.
        metal_pixels: displacement along the readout [pixels] per Hz.
    """

    shares: Tensor
    taken: Tensor | None
    blood: Tensor | None
    phase: Tensor
    readout: Tensor
    plane: Tensor | None
    weights: tuple[Tensor, Tensor]
    sigma: float
    fading: Tensor
    metal_pixels: float


def make_plan(
    scan: Scan, tissues: TissueTable, environment: Environment, shape: tuple[int, int], as_if: Scan, nominal: bool
) -> Plan:
    """Plan the images of one scan.

    Args:
        scan: the contrast: sequence, suppression and noise level.
        tissues: of the knee.
        environment: field strength, coil and field errors.
        shape: rows and columns of the image.
        as_if: the scan whose readout, point spread, motion and processing the images have.
        nominal: the nominal pulse without field errors in place of the scan's suppression, and no ghosts.
    """
    read, train_of = as_if.readout, as_if.sequence
    phase_size, read_size = (size + 2 * MARGIN for size in (shape if read.axis == -1 else (shape[1], shape[0])))
    table = TissueTable(*(one.detach().cpu().double() for one in (tissues.t1, tissues.t2, tissues.density)))
    water, fat, left = _amplitudes(scan, table, environment, nominal)

    # The other scan's echoes relative to its effective one give the point spread, this scan's echo time the contrast.
    times = train.echo_times(train_of) - train_of.echo_time + scan.sequence.echo_time
    middle = train.effective_echo(train_of) - 1
    rate = decay_rate(scan.sequence, table.t1, table.t2)
    water_shares, water_curves = train.decay_basis(water, rate, times, middle, WATER_CURVES)
    fat_shares, fat_curves = train.decay_basis(fat[FAT], rate[FAT], times, middle, FAT_CURVES)
    shares = torch.zeros(CURVES, len(FAT), dtype=torch.float64)
    shares[:WATER_CURVES], shares[WATER_CURVES:, FAT] = water_shares.T, fat_shares.T

    step = k_space.lines(phase_size)
    inside = k_space.sampled(phase_size, read.matrix[1], read.partial_fourier)
    echo, shot = torch.zeros(phase_size, dtype=torch.int64), torch.zeros(phase_size, dtype=torch.int64)
    echo[inside] = train.echo_of_line(train_of, step[inside])
    shot[inside] = train.shot_of_line(echo[inside])
    weight = k_space.weights(phase_size, read.matrix[1], read.partial_fourier, read.window)
    curves = [water_curves[:, echo], fat_curves[:, echo]]
    blood = None
    if as_if.ghosts.pulsation > 0 and not nominal:
        blood, echoes = _blood(scan, table, times)
        curves.append((echoes[echo] * ghosts.pulsation(as_if.ghosts, shot, train_of.repetition_time))[None])
    along_phase = torch.cat(curves) * weight * k_space.displacement(phase_size, _shift(as_if)[0])
    if as_if.ghosts.phase_error > 0 and not nominal:
        along_phase = along_phase * ghosts.phase_errors(as_if.ghosts, shot)

    read_weight = k_space.weights(read_size, read.matrix[0], 1.0, read.window)
    moved = k_space.displacement(read_size, _shift(as_if)[1])
    shift = k_space.fat_shift(read, environment.field_strength, read_size)
    along_read = torch.stack((moved, moved * k_space.displacement(read_size, shift))) * read_weight
    return Plan(
        shares=shares.float(),
        taken=None if left is None else _taken(shares, left),
        blood=blood,
        phase=along_phase.to(torch.complex64),
        readout=along_read.to(torch.complex64),
        plane=_plane(as_if, (phase_size, read_size)),
        weights=(weight.float(), read_weight.float()),
        sigma=muscle_signal(scan, table) / scan.noise.snr,
        fading=vendor.fading(as_if.vendor, read_size - 2 * MARGIN).float(),
        metal_pixels=read.polarity / read.bandwidth / k_space.acquired_share(read_size, read.matrix[0]),
    )


def muscle_signal(scan: Scan, tissues: TissueTable) -> float:
    """Signal of pure muscle at the isocentre, to which the noise is set."""
    muscle = INDEX["muscle"]
    t1, t2 = tissues.t1[muscle].double(), tissues.t2[muscle].double()
    density = tissues.density[muscle].double() * _TRANSFER[muscle] ** (scan.sequence.transfer - 1)
    return float(density * turbo_spin_echo(scan.sequence, t1, t2))


def hits(pulse: FatSuppression, off_resonance: Tensor, b1: Tensor, field_strength: float) -> Tensor:
    """What the pulse takes of water, of fat's lines around water and of its other lines, 0..2, ``(3, ...)``."""
    groups = (WATER_LINES, OLEFINIC_LINES, FAT_LINES)
    return torch.stack([share_in_band(pulse, lines, off_resonance, field_strength) for lines in groups]) * turned(
        pulse, b1
    )


def _amplitudes(
    scan: Scan, tissues: TissueTable, environment: Environment, nominal: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Signal at the first instant of each compartment at water's position and displaced, and what does not regrow."""
    full = tissues.density * _TRANSFER ** (scan.sequence.transfer - 1) * recovery(scan.sequence, tissues.t1)
    pulse = scan.suppression
    if nominal and pulse is not None:
        pulse = nominal_pulse(environment.field_strength)
    olefinic = OLEFINIC if pulse is None else pulse.olefinic
    water, fat = full * torch.where(FAT, olefinic, 1.0), full * _FAT * (1 - olefinic)
    if pulse is None:
        return water, fat, None
    left = not_regrown(pulse, tissues.t1)
    if not nominal:
        return water, fat, left
    taken = hits(pulse, left.new_zeros(1), left.new_ones(1), environment.field_strength)
    return water * (1 - torch.where(FAT, taken[1], taken[0]) * left), fat * (1 - taken[2] * left), None


def _taken(shares: Tensor, left: Tensor) -> Tensor:
    missing = shares * left
    water = missing[:WATER_CURVES]
    return torch.cat((water * (1 - _FAT), water * _FAT, missing[WATER_CURVES:])).float()


def _blood(scan: Scan, tissues: TissueTable, times: Tensor) -> tuple[Tensor, Tensor]:
    """Pulsating signal of the vessels' compartments per amplitude ``(1, C)``, and its decay ``(L,)``."""
    artery, vein = INDEX["artery"], INDEX["vein"]
    # Density 1 stands for the fresh blood that pulses in; at rest the void of flow has less.
    amount = torch.zeros(1, len(FAT))
    amount[0, artery], amount[0, vein] = 1.0, _VEIN_PULSATION
    rate = decay_rate(scan.sequence, tissues.t1[artery], tissues.t2[artery])
    return amount * float(recovery(scan.sequence, tissues.t1[artery])), torch.exp(-times.clamp_min(0) * rate)


def _shift(scan: Scan) -> tuple[float, float]:
    """Displacement along the phase axis and along the readout [pixels]."""
    rows, columns = scan.motion.shift
    return (rows, columns) if scan.readout.axis == -1 else (columns, rows)


def _plane(scan: Scan, shape: tuple[int, int]) -> Tensor | None:
    factor = None
    if scan.vendor.sharpening != 0:
        along, across = scan.readout.matrix
        factor = vendor.sharpen(scan.vendor, shape, (across, along))
    if scan.readout.elliptical:
        mask = k_space.ellipse(scan.readout, shape)
        factor = mask if factor is None else factor * mask
    return factor


def noise_scale(plan: Plan) -> float:
    """Standard deviation of white k-space noise that gives `Plan.sigma` in the image after all weights."""
    along_phase, along_read = plan.weights
    if plan.plane is None:
        power = along_phase.square().sum() * along_read.square().sum()
    else:
        power = (along_phase[:, None] * along_read * plan.plane).square().sum()
    return plan.sigma * float(noise.image_scale(power, len(along_phase) * len(along_read)))
