# SPDX-License-Identifier: Apache-2.0
"""Ghosts along the phase axis: phase errors between excitations, and arteries that pulsate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ghosts:
    """What differs from one excitation to the next.

    Args:
        phase_error: standard deviation of the phase of one excitation's echoes [rad]; 0 none.
        pulsation: amplitude of the blood's pulsating signal relative to that of blood at rest; 0 none.
        heart_rate: beats per second.
        heart_phase: phase of the beat at the first excitation [rad].
        seed: of the phase errors.
    """

    phase_error: float = 0.0
    pulsation: float = 0.0
    heart_rate: float = 1.1
    heart_phase: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.phase_error, self.pulsation) < 0 or self.heart_rate <= 0:
            raise ValueError(f"Need amplitudes of at least zero and a heart rate above zero, found {self}.")


def phase_errors(ghosts: Ghosts, shot: Tensor) -> Tensor:
    """Factor of each line whose excitation is ``shot`` ``(n,)``: ``exp(i error)``, complex128 ``(n,)``."""
    generator = torch.Generator().manual_seed(ghosts.seed)
    error = ghosts.phase_error * torch.randn(int(shot.max()) + 1, generator=generator, dtype=torch.float64)
    return torch.polar(torch.ones(len(shot), dtype=torch.float64), error[shot])


def pulsation(ghosts: Ghosts, shot: Tensor, repetition_time: float) -> Tensor:
    """Pulsating part of the blood's signal on each line, ``amplitude cos(2 pi rate shot TR + phase)``, ``(n,)``.

    The beat is sampled once per repetition, so that its copies stand where the aliased beat puts them.
    """
    angle = 2 * math.pi * ghosts.heart_rate * repetition_time * shot.double() + ghosts.heart_phase
    return ghosts.pulsation * torch.cos(angle)
