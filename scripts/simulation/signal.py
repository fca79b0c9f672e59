# SPDX-License-Identifier: Apache-2.0
"""Closed-form MR signal: turbo spin echo and spectral fat suppression. Seconds, hertz, radians, tesla."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

GYROMAGNETIC_RATIO = 42.577e6
"""Proton gyromagnetic ratio over 2 pi [Hz/T]."""
FAT_SHIFT = -3.4e-6
"""Chemical shift of the main methylene line of fat relative to water (Yu et al., MRM 2008;60:1122)."""
FAT_LINES: tuple[tuple[float, float], ...] = (
    (-3.80e-6, 0.087),
    (-3.40e-6, 0.693),
    (-2.60e-6, 0.128),
    (-1.94e-6, 0.004),
)
"""Chemical shift and share of the lines of fat that lie below water (Yu 2008; Hamilton 2011)."""
OLEFINIC_LINES: tuple[tuple[float, float], ...] = ((-0.39e-6, 0.039), (0.60e-6, 0.048))
"""The lines around water, of glycerol and olefinic protons: no fat saturation reaches them without hitting water."""
OLEFINIC = sum(share for _, share in OLEFINIC_LINES)
"""Share of fat in the lines around water (.087)."""
WATER_LINES: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
MEAN_FAT_SHIFT = sum(shift * share for shift, share in FAT_LINES) / sum(share for _, share in FAT_LINES)
"""Centre of gravity of `FAT_LINES`, by which the image of fat is displaced (-3.32 ppm)."""
ORDERS = ("linear", "centric")


@dataclass(frozen=True)
class Sequence:
    """One turbo spin-echo scan.

    Args:
        repetition_time: TR [s].
        echo_time: effective TE [s].
        echo_train_length: echoes per excitation that fill k-space.
        echo_spacing: time between echoes [s].
        order: how the echoes fill k-space: ``linear`` in the phase-encoding step, with the effective one in the middle,
            or ``centric``, from the effective one in the middle outwards on both sides.
        transverse: share of the train that magnetisation spends transverse: 1 for 180 degree pulses, less for smaller
            ones, which store part of it longitudinally (Hennig and Scheffler, MRM 2003;49:527).
        transfer: incidental magnetisation transfer relative to a usual multi-slice TSE, as a power of the tissues' own
            factor; 1 usual, 0 none.
    """

    repetition_time: float
    echo_time: float
    echo_train_length: int
    echo_spacing: float
    order: str = "linear"
    transverse: float = 1.0
    transfer: float = 1.0

    def __post_init__(self) -> None:
        if min(self.repetition_time, self.echo_time, self.echo_spacing) <= 0 or self.echo_train_length < 1:
            raise ValueError(f"Times and the echo train must be positive, found {self}.")
        if self.echo_time >= self.repetition_time:
            raise ValueError(
                f"TE {self.echo_time:g} s is not shorter than TR {self.repetition_time:g} s; give TE < TR, in seconds."
            )
        if self.order not in ORDERS:
            raise ValueError(f"Order {self.order!r} is unknown; choose one of {', '.join(ORDERS)}.")
        if not 0 < self.transverse <= 1 or self.transfer < 0:
            raise ValueError(f"Need 0 < transverse <= 1 and transfer >= 0, found {self}.")


def recovery(sequence: Sequence, t1: Tensor) -> Tensor:
    """Longitudinal magnetisation before each excitation, ``1 - exp(-(TR - ETL ESP) / T1)``, 0..1.

    Recovery starts after the last refocusing pulse, so the train's length counts off TR.
    """
    free = max(sequence.repetition_time - sequence.echo_train_length * sequence.echo_spacing, 0.0)
    return 1 - torch.exp(-free / t1)


def decay_rate(sequence: Sequence, t1: Tensor, t2: Tensor) -> Tensor:
    """Rate at which the echoes of a train decay [1/s], ``f / T2 + (1 - f) / T1`` with the transverse share f."""
    return sequence.transverse / t2 + (1 - sequence.transverse) / t1


def turbo_spin_echo(sequence: Sequence, t1: Tensor, t2: Tensor) -> Tensor:
    """Steady-state signal of a TSE per unit density: `recovery` times the decay until the effective echo.

    Args:
        sequence: the scan.
        t1: longitudinal relaxation times [s], any shape.
        t2: effective transverse relaxation times [s], same shape.

    Returns:
        Signal in 0..1, same shape.
    """
    return recovery(sequence, t1) * torch.exp(-sequence.echo_time * decay_rate(sequence, t1, t2))


@dataclass(frozen=True)
class FatSuppression:
    """A spectrally selective saturation or inversion pulse before each excitation.

    Args:
        flip_angle: nominal angle of the pulse on fat [rad]; pi/2 leaves nothing of the lines in its band. pi with a
            delay of T1 ln 2 nulls fat after an inversion.
        bandwidth: full width at half maximum of the pulse [Hz].
        delay: time from the pulse to the excitation [s], in which fat regrows.
        olefinic: share of fat in the lines around water, which the band does not reach (about .09).
        offset: centre of the band from the main methylene line [Hz].
        adiabatic: the angle does not depend on the transmit field (SPAIR), unless that is below about half.
    """

    flip_angle: float
    bandwidth: float
    delay: float
    olefinic: float = OLEFINIC
    offset: float = 0.0
    adiabatic: bool = False

    def __post_init__(self) -> None:
        if self.bandwidth <= 0 or self.delay < 0 or not 0 <= self.olefinic <= 1:
            raise ValueError(f"Need a bandwidth above zero, a delay of at least zero and 0 <= olefinic <= 1: {self}.")


def nominal_pulse(field_strength: float) -> FatSuppression:
    """The saturation that a clean target was suppressed with: it leaves about an eighth of fat.

    How well a scan that was never made would have been suppressed cannot be known from another one, so it is one pulse.

    Args:
        field_strength: static field [T].
    """
    return FatSuppression(
        flip_angle=1.64, bandwidth=2.1e-6 * GYROMAGNETIC_RATIO * field_strength, delay=0.010, olefinic=OLEFINIC
    )


def pass_band(offset: Tensor, bandwidth: float) -> Tensor:
    """Smooth-edged pass band: .987 in the middle (a real pulse is never perfect), .5 at half the bandwidth."""
    edge = bandwidth / 10
    return torch.sigmoid((offset + bandwidth / 2) / edge) * torch.sigmoid((bandwidth / 2 - offset) / edge)


def share_in_band(
    pulse: FatSuppression, lines: tuple[tuple[float, float], ...], off_resonance: Tensor, field_strength: float
) -> Tensor:
    """Share of a spectrum that lies in the pulse's band where the field is off by ``off_resonance`` [Hz], 0..1."""
    larmor = GYROMAGNETIC_RATIO * field_strength
    inside = torch.zeros_like(off_resonance)
    for shift, share in lines:
        from_centre = off_resonance + ((shift - FAT_SHIFT) * larmor - pulse.offset)
        inside = inside + share * pass_band(from_centre, pulse.bandwidth)
    return inside / sum(share for _, share in lines)


def turned(pulse: FatSuppression, b1: Tensor) -> Tensor:
    """Longitudinal magnetisation that the pulse takes from what is in its band, ``1 - cos(angle B1)``, 0..2.

    An adiabatic pulse turns by its nominal angle wherever ``B1`` reaches about half of nominal.
    """
    if not pulse.adiabatic:
        return 1 - torch.cos(pulse.flip_angle * b1)
    return (1 - math.cos(pulse.flip_angle)) * torch.sigmoid((b1 - 0.5) / 0.03)


def not_regrown(pulse: FatSuppression, t1: Tensor) -> Tensor:
    """Share of what the pulse took that is still missing at the excitation, ``exp(-delay / T1)``, 0..1."""
    return torch.exp(-pulse.delay / t1)


def suppressed_fraction(
    pulse: FatSuppression,
    off_resonance: Tensor,
    b1: Tensor,
    field_strength: float,
    fat_t1: float,
    water_t1: float = 1.2,
) -> tuple[Tensor, Tensor]:
    """What a fat-suppression pulse leaves of fat and of water, ``1 - H (1 - cos(angle B1)) exp(-delay / T1)``.

    ``H`` is the share of the spectrum in the band at the local frequency. What is turned past the transverse plane and
    has not regrown is negative: it subtracts from the water of its voxel.

    Args:
        pulse: the pulse.
        off_resonance: field error [Hz], any shape.
        b1: transmit field relative to nominal, same shape.
        field_strength: static field [T].
        fat_t1: longitudinal relaxation time of fat [s].
        water_t1: that of the water [s].

    Returns:
        The factors on fat and on water, -1..1, with the shape of ``off_resonance``.
    """
    fat_left, water_left = (not_regrown(pulse, torch.tensor(t1)) for t1 in (fat_t1, water_t1))
    taken = turned(pulse, b1)
    main = 1 - share_in_band(pulse, FAT_LINES, off_resonance, field_strength) * taken * fat_left
    olefinic = 1 - share_in_band(pulse, OLEFINIC_LINES, off_resonance, field_strength) * taken * fat_left
    water = 1 - share_in_band(pulse, WATER_LINES, off_resonance, field_strength) * taken * water_left
    return (1 - pulse.olefinic) * main + pulse.olefinic * olefinic, water
