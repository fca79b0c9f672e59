# SPDX-License-Identifier: Apache-2.0
"""How the echo train fills k-space, and what its decay does."""

from __future__ import annotations

import pytest
import torch

from scripts.simulation.scanner.k_space import lines
from scripts.simulation.scanner.train import (
    decay_basis,
    echo_of_line,
    echo_times,
    effective_echo,
    shot_of_line,
)
from scripts.simulation.signal import Sequence
from scripts.simulation.tissue import TissueTable

STEP = lines(257)
CASES = [("linear", 8, 0.030), ("linear", 7, 0.010), ("centric", 8, 0.030), ("centric", 5, 0.010), ("linear", 1, 0.02)]


def train(order: str, length: int, echo_time: float) -> Sequence:
    return Sequence(3.0, echo_time, length, 0.010, order)


@pytest.mark.parametrize(("order", "length", "echo_time"), CASES)
def test_the_effective_echo_fills_the_middle_of_k_space_at_the_echo_time(
    order: str, length: int, echo_time: float
) -> None:
    sequence = train(order, length, echo_time)
    echo = echo_of_line(sequence, STEP)
    assert int(echo[0]) == effective_echo(sequence) - 1
    assert float(echo_times(sequence)[echo[0]]) == pytest.approx(echo_time)


@pytest.mark.parametrize(("order", "length", "echo_time"), CASES)
def test_each_echo_fills_as_many_lines_and_each_excitation_one_of_them(
    order: str, length: int, echo_time: float
) -> None:
    echo = echo_of_line(train(order, length, echo_time), STEP)
    counts = torch.bincount(echo, minlength=length)
    assert int(counts.max() - counts.min()) <= 2
    pairs = torch.stack((echo, shot_of_line(echo)), dim=1)
    assert len(pairs.unique(dim=0)) == len(STEP)
    assert int(shot_of_line(echo).max()) == int(counts.max()) - 1


def test_centric_order_is_symmetric_and_linear_order_runs_one_way() -> None:
    centric, linear = (echo_of_line(train(order, 8, 0.040), STEP) for order in ("centric", "linear"))
    by_step = dict(zip(STEP.tolist(), centric.tolist(), strict=True))
    assert all(by_step[step] == by_step[-step] for step in by_step)
    assert all(by_step[step] <= by_step[step + 1] for step in range(128))  # echoes get later towards the edge
    inner = linear[STEP.argsort()][40:-40]  # the ends may hold what the shift pushed over
    assert bool((inner.diff() >= 0).all())
    assert len(inner.unique()) > 4


def test_a_train_longer_than_needed_has_no_echo_before_the_excitation() -> None:
    for echo_time in (0.008, 0.021, 0.055, 0.2):
        for order in ("linear", "centric"):
            assert float(echo_times(Sequence(3.0, echo_time, 12, 0.010, order)).min()) > 0


@pytest.mark.parametrize("length", [1, 3, 4, 8, 12, 20])
def test_a_few_curves_stand_for_all_tissues(length: int, table: TissueTable) -> None:
    times = echo_times(Sequence(3.0, 0.03, length, 0.01))
    middle = effective_echo(Sequence(3.0, 0.03, length, 0.01)) - 1
    shares, curves = decay_basis(table.density, 1 / table.t2, times, middle, 4)
    wanted = table.density.double()[:, None] * torch.exp(-times / table.t2.double()[:, None])
    assert float((shares @ curves - wanted).abs().max()) < 0.02
    assert float((shares @ curves - wanted)[:, middle].abs().max()) < 5e-4  # the image's mean


def test_without_decay_the_train_filters_nothing() -> None:
    times = echo_times(Sequence(3.0, 0.03, 8, 0.01))
    shares, curves = decay_basis(torch.tensor([0.5, 1.0]), torch.full((2,), 1e-12), times, 2, 4)
    torch.testing.assert_close(shares @ curves, torch.tensor([[0.5], [1.0]]).double().expand(2, 8))
