# SPDX-License-Identifier: Apache-2.0
"""Closed-form MR signal: turbo spin echo and spectral fat suppression. Seconds, hertz, radians, tesla."""

from __future__ import annotations

from dataclasses import dataclass

import torch

GYROMAGNETIC_RATIO = 42.577e6
"""Proton gyromagnetic ratio over 2 pi [Hz/T]."""
FAT_SHIFT = -3.4e-6
"""Chemical shift of the main methylene line of fat relative to water (Yu et al., MRM 2008;60:1122)."""


@dataclass(frozen=True)
class Sequence:
    """One turbo spin-echo scan.

    Args:
        repetition_time: TR [s].
        echo_time: effective TE [s].
        echo_train_length: refocusing pulses per excitation.
        echo_spacing: time between echoes [s].
    """

    repetition_time: float
    echo_time: float
    echo_train_length: int
    echo_spacing: float

    def __post_init__(self) -> None:
        if min(self.repetition_time, self.echo_time, self.echo_spacing) <= 0 or self.echo_train_length < 1:
            raise ValueError(f"Times and the echo train must be positive, found {self}.")
        if self.echo_time >= self.repetition_time:
            raise ValueError(
                f"TE {self.echo_time:g} s is not shorter than TR {self.repetition_time:g} s; give TE < TR, in seconds."
            )


def turbo_spin_echo(sequence: Sequence, t1: torch.Tensor, t2: torch.Tensor) -> torch.Tensor:
    """Steady-state signal of a TSE per unit density, ``(1 - exp(-(TR - ETL ESP) / T1)) exp(-TE / T2)``.

    Recovery starts after the last refocusing pulse, so the train's length counts off TR.

    Args:
        sequence: the scan.
        t1: longitudinal relaxation times [s], any shape.
        t2: effective transverse relaxation times [s], same shape.

    Returns:
        Signal in 0..1, same shape.
    """
    recovery = max(sequence.repetition_time - sequence.echo_train_length * sequence.echo_spacing, 0.0)
    return (1 - torch.exp(-recovery / t1)) * torch.exp(-sequence.echo_time / t2)


@dataclass(frozen=True)
class FatSuppression:
    """A spectrally selective saturation pulse before each excitation.

    Args:
        flip_angle: nominal angle of the pulse on fat [rad]; pi/2 leaves nothing of the suppressed lines.
        bandwidth: full width at half maximum of the pulse [Hz].
        delay: time from the pulse to the excitation [s], in which fat regrows.
        olefinic: share of the fat signal whose lines lie at the water side and is never suppressed (about 0.09).
    """

    flip_angle: float
    bandwidth: float
    delay: float
    olefinic: float


def _band(offset: torch.Tensor, bandwidth: float) -> torch.Tensor:
    """Smooth-edged pass band: .987 in the middle (a real pulse is never perfect), .5 at half the bandwidth."""
    edge = bandwidth / 10
    return torch.sigmoid((offset + bandwidth / 2) / edge) * torch.sigmoid((bandwidth / 2 - offset) / edge)


def suppressed_fraction(
    pulse: FatSuppression, off_resonance: torch.Tensor, b1: torch.Tensor, field_strength: float, fat_t1: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a fat-saturation pulse leaves of fat and of water.

    The saturated lines keep ``1 - H (1 - cos(angle B1) R)``, where ``H`` is the band at the local fat frequency and
    ``R`` the regrowth over the delay; the olefinic lines are untouched. Water is hit where the field error moves it
    into the band.

    Args:
        pulse: the saturation pulse.
        off_resonance: field error [Hz], any shape.
        b1: transmit field relative to nominal, same shape.
        field_strength: static field [T].
        fat_t1: longitudinal relaxation time of fat [s].

    Returns:
        The factors on fat and on water, each in 0..1 with the shape of ``off_resonance``.
    """
    fat_offset = FAT_SHIFT * GYROMAGNETIC_RATIO * field_strength
    regrowth = 1 - torch.exp(torch.tensor(-pulse.delay / fat_t1))
    after = torch.cos(pulse.flip_angle * b1)
    after = after + (1 - after) * regrowth
    on_fat = _band(off_resonance, pulse.bandwidth)
    on_water = _band(off_resonance - fat_offset, pulse.bandwidth)
    fat = pulse.olefinic + (1 - pulse.olefinic) * (1 - on_fat * (1 - after)).abs()
    water = (1 - on_water * (1 - after)).abs()
    return fat, water
