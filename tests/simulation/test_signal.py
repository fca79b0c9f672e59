# SPDX-License-Identifier: Apache-2.0
"""Limits of the signal formulas."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.simulation.signal import (
    FAT_SHIFT,
    GYROMAGNETIC_RATIO,
    FatSuppression,
    Sequence,
    suppressed_fraction,
    turbo_spin_echo,
)

LEAK = 0.0134  # of the pass band in its middle, 1 - sigmoid(5)^2: its edges are soft
T1, T2 = torch.tensor([0.3, 1.2, 3.6]), torch.tensor([0.1, 0.04, 0.8])


def sequence(**changes: float) -> Sequence:
    values = {"repetition_time": 2.7, "echo_time": 0.03, "echo_train_length": 8, "echo_spacing": 0.009} | changes
    return Sequence(**values)  # type: ignore[arg-type]


def test_everything_recovers_for_a_long_repetition_and_an_echo_at_once() -> None:
    signal = turbo_spin_echo(sequence(repetition_time=1e4, echo_time=1e-9), T1, T2)
    torch.testing.assert_close(signal, torch.ones(3))


def test_nothing_is_left_at_a_late_echo() -> None:
    assert float(turbo_spin_echo(sequence(repetition_time=1e3, echo_time=90.0), T1, T2).max()) < 1e-12


def test_nothing_recovers_when_the_train_fills_the_repetition() -> None:
    signal = turbo_spin_echo(sequence(repetition_time=0.1, echo_train_length=20, echo_spacing=0.01), T1, T2)
    assert float(signal.abs().max()) == 0


def test_the_echo_decays_with_t2() -> None:
    early, late = (turbo_spin_echo(sequence(echo_time=time), T1, T2) for time in (0.02, 0.05))
    torch.testing.assert_close(late / early, torch.exp(-0.03 / T2))


def test_recovery_follows_t1_after_the_last_pulse() -> None:
    signal = turbo_spin_echo(sequence(echo_time=1e-9), T1, T2)
    torch.testing.assert_close(signal, 1 - torch.exp(-(2.7 - 8 * 0.009) / T1))


@pytest.mark.parametrize("changes", [{"echo_time": 3.0}, {"repetition_time": -1.0}, {"echo_train_length": 0}])
def test_impossible_times_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"TE|positive"):
        sequence(**changes)


def pulse(**changes: float) -> FatSuppression:
    values = {"flip_angle": math.pi / 2, "bandwidth": 260.0, "delay": 1e-9, "olefinic": 0.09} | changes
    return FatSuppression(**values)


def left(pulse: FatSuppression, offset: float = 0.0, b1: float = 1.0, field: float = 3.0) -> tuple[float, float]:
    fat, water = suppressed_fraction(pulse, torch.tensor(offset), torch.tensor(b1), field, 0.37)
    return float(fat), float(water)


def test_a_perfect_pulse_leaves_the_olefinic_lines_and_all_water() -> None:
    fat, water = left(pulse())
    assert fat == pytest.approx(0.09 + 0.91 * LEAK, abs=1e-3)
    assert water == pytest.approx(1, abs=1e-3)


def test_no_pulse_leaves_all() -> None:
    assert left(pulse(flip_angle=0.0)) == pytest.approx((1, 1))


def test_fat_regrows_with_its_t1() -> None:
    fat, _ = left(pulse(olefinic=0.0, delay=0.02))
    regrown = 1 - math.exp(-0.02 / 0.37)
    assert fat == pytest.approx(1 - (1 - LEAK) * (1 - regrown), abs=1e-3)


def test_a_weak_transmit_field_leaves_fat() -> None:
    fat, _ = left(pulse(olefinic=0.0), b1=0.8)
    assert fat == pytest.approx(1 - (1 - LEAK) * (1 - math.cos(0.8 * math.pi / 2)), abs=1e-3)


def test_a_field_error_of_the_fat_shift_moves_fat_out_and_water_in() -> None:
    shift = FAT_SHIFT * GYROMAGNETIC_RATIO * 3.0
    fat, water = left(pulse(), offset=shift)
    assert fat == pytest.approx(1, abs=0.01)
    assert water == pytest.approx(LEAK, abs=1e-3)


def test_fat_is_434_hz_below_water_at_3_t() -> None:
    assert FAT_SHIFT * GYROMAGNETIC_RATIO * 3 == pytest.approx(-434, abs=1)
