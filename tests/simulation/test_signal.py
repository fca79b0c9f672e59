# SPDX-License-Identifier: Apache-2.0
"""Limits of the signal formulas."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.simulation.signal import (
    FAT_LINES,
    FAT_SHIFT,
    GYROMAGNETIC_RATIO,
    OLEFINIC,
    OLEFINIC_LINES,
    WATER_LINES,
    FatSuppression,
    Sequence,
    decay_rate,
    nominal_pulse,
    pass_band,
    share_in_band,
    suppressed_fraction,
    turbo_spin_echo,
    turned,
)

WIDE, OFFSET = 410.0, 50.0  # a band [Hz] that holds some .95 of the lines below water at 3 T, and hardly water
T1, T2 = torch.tensor([0.3, 1.2, 3.6]), torch.tensor([0.1, 0.04, 0.8])


def sequence(**changes: float | str) -> Sequence:
    values: dict[str, float | str] = {
        "repetition_time": 2.7,
        "echo_time": 0.03,
        "echo_train_length": 8,
        "echo_spacing": 0.009,
    } | changes
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


@pytest.mark.parametrize(
    "changes",
    [{"echo_time": 3.0}, {"repetition_time": -1.0}, {"echo_train_length": 0}, {"transverse": 0.0}, {"order": "spiral"}],
)
def test_impossible_times_are_refused(changes: dict[str, float | str]) -> None:
    with pytest.raises(ValueError, match=r"TE|positive|transverse|Order"):
        sequence(**changes)


def test_stored_magnetisation_decays_with_t1() -> None:
    torch.testing.assert_close(decay_rate(sequence(), T1, T2), 1 / T2)
    assert bool((decay_rate(sequence(transverse=0.8), T1, T2) < 1 / T2).all())
    torch.testing.assert_close(decay_rate(sequence(transverse=1e-6), T1, T2), 1 / T1, rtol=1e-4, atol=0)


def pulse(**changes: float | bool) -> FatSuppression:
    values: dict[str, float | bool] = {
        "flip_angle": math.pi / 2, "bandwidth": WIDE, "delay": 0.0, "olefinic": 0.09, "offset": OFFSET
    }  # fmt: skip
    return FatSuppression(**(values | changes))  # type: ignore[arg-type]


def left(pulse: FatSuppression, offset: float = 0.0, b1: float = 1.0, field: float = 3.0) -> tuple[float, float]:
    fat, water = suppressed_fraction(pulse, torch.tensor(offset), torch.tensor(b1), field, 0.37)
    return float(fat), float(water)


def test_a_pulse_that_holds_all_fat_lines_leaves_those_around_water_and_all_water() -> None:
    fat, water = left(pulse())
    assert fat == pytest.approx(0.09, abs=0.05)  # the band's edges are soft
    assert water == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("field", [1.5, 3.0])
def test_a_usual_pulse_leaves_between_a_tenth_and_a_fifth_of_fat(field: float) -> None:
    fat, water = left(pulse(bandwidth=90 * field, offset=0.0, delay=0.01, olefinic=OLEFINIC), field=field)
    assert 0.10 < fat < 0.20
    assert water == pytest.approx(1, abs=1e-3)


def test_no_pulse_leaves_all() -> None:
    assert left(pulse(flip_angle=0.0)) == pytest.approx((1, 1))


def test_fat_regrows_with_its_t1() -> None:
    at_once, later = (1 - left(pulse(olefinic=0.0, delay=delay))[0] for delay in (0.0, 0.02))
    assert later / at_once == pytest.approx(math.exp(-0.02 / 0.37), rel=1e-5)
    assert left(pulse(delay=60.0)) == pytest.approx((1, 1))


def test_a_weak_transmit_field_leaves_fat() -> None:
    full, weak = (1 - left(pulse(olefinic=0.0), b1=b1)[0] for b1 in (1.0, 0.8))
    assert weak / full == pytest.approx(1 - math.cos(0.8 * math.pi / 2), rel=1e-5)


def test_an_over_turned_line_is_negative() -> None:
    assert left(pulse(flip_angle=math.pi, olefinic=0.0))[0] < -0.85


def test_an_adiabatic_inversion_nulls_fat_whatever_the_transmit_field() -> None:
    inversion = pulse(flip_angle=math.pi, delay=0.37 * math.log(2), olefinic=0.0, adiabatic=True)
    for b1 in (0.7, 1.0, 1.3):
        assert left(inversion, b1=b1)[0] == pytest.approx(0, abs=0.06)
    assert left(inversion, b1=0.2)[0] == pytest.approx(1, abs=1e-3)
    plain = turned(pulse(adiabatic=False), torch.tensor(0.7))
    assert float(plain) == pytest.approx(1 - math.cos(0.7 * math.pi / 2))


def test_a_field_error_of_the_fat_shift_moves_fat_out_and_water_in() -> None:
    shift = FAT_SHIFT * GYROMAGNETIC_RATIO * 3.0
    fat, water = left(pulse(bandwidth=260.0, offset=0.0), offset=shift)
    assert fat > 0.85  # the lines around water are in the band now
    assert water < 0.02


def test_the_band_is_half_open_at_half_its_width_and_shut_far_off() -> None:
    values = pass_band(torch.tensor([0.0, 130.0, -130.0, 500.0]), 260.0)
    torch.testing.assert_close(values, torch.tensor([0.987, 0.5, 0.5, 0.0]), atol=1e-3, rtol=0)


def test_all_lines_of_a_spectrum_count_by_their_share() -> None:
    for lines in (FAT_LINES, OLEFINIC_LINES, WATER_LINES):
        everything = share_in_band(pulse(bandwidth=1e6), lines, torch.zeros(1), 3.0)
        torch.testing.assert_close(everything, torch.tensor([0.987]), atol=1e-3, rtol=0)
    assert sum(share for _, share in (*FAT_LINES, *OLEFINIC_LINES)) == pytest.approx(1, abs=2e-3)


def test_fat_is_434_hz_below_water_at_3_t() -> None:
    assert FAT_SHIFT * GYROMAGNETIC_RATIO * 3 == pytest.approx(-434, abs=1)


@pytest.mark.parametrize("changes", [{"bandwidth": 0.0}, {"delay": -1.0}, {"olefinic": 1.5}])
def test_impossible_pulses_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="bandwidth"):
        pulse(**changes)


@pytest.mark.parametrize("field_strength", [1.5, 3.0])
def test_the_nominal_pulse_leaves_about_an_eighth_of_fat_and_all_water(field_strength: float) -> None:
    fat, water = suppressed_fraction(
        nominal_pulse(field_strength), torch.zeros(()), torch.ones(()), field_strength, 0.37
    )
    assert 0.09 < float(fat) < 0.18
    assert float(water) == pytest.approx(1, abs=0.02)
