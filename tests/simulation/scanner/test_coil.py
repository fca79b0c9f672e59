# SPDX-License-Identifier: Apache-2.0
"""What the receive coil does to brightness."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.simulation.scanner.coil import Coil, Element, sensitivities, shading

POINTS = torch.randn(3, 200, generator=torch.Generator().manual_seed(0)) * 50
RING = tuple(
    Element((80 * math.cos(a), 80 * math.sin(a), 0.0), 45.0, 1.0, a, (0.01, -0.005, 0.0)) for a in (0.0, 1.6, 3.1, 4.7)
)


def test_a_coil_without_loops_is_uniform() -> None:
    torch.testing.assert_close(shading(Coil(), POINTS), torch.ones(200))


def test_a_loop_falls_by_its_law() -> None:
    coil = Coil((Element((60.0, 0.0, 0.0), 40.0, 2.0),), uniform=0.0)
    at_loop, one_radius, far = (torch.tensor([[60.0 - d], [0.0], [0.0]]) for d in (0.0, 40.0, 4000.0))
    values = [float(sensitivities(coil, place).abs()) for place in (at_loop, one_radius, far)]
    assert values == pytest.approx([2.0, 2.0 * 2**-1.5, 2.0 * 100.005**-3], rel=1e-3)


def test_shading_is_the_root_sum_of_squares_and_one_at_the_isocentre() -> None:
    coil = Coil(RING, uniform=0.1)
    squares = sensitivities(coil, POINTS).abs().square().sum(0).sqrt()
    middle = sensitivities(coil, torch.zeros(3, 1)).abs().square().sum().sqrt()
    torch.testing.assert_close(shading(coil, POINTS), squares / middle)
    assert float(shading(coil, torch.zeros(3, 1))) == pytest.approx(1)


def test_phase_runs_as_stated() -> None:
    coil = Coil((Element((60.0, 0.0, 0.0), 40.0, 1.0, phase=0.3, turn=(0.01, 0.0, 0.0)),), uniform=0.0)
    places = torch.tensor([[0.0, 20.0], [5.0, 5.0], [0.0, 0.0]])
    torch.testing.assert_close(sensitivities(coil, places)[0].angle(), torch.tensor([0.3, 0.5]))


def test_receivers_are_counted() -> None:
    assert Coil(RING, uniform=0.1, combined=False).receivers == 5
    assert Coil(RING, uniform=0.0, combined=False).receivers == 4
    assert Coil(RING, combined=True).receivers == 1


def test_a_coil_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="element"):
        Coil((), uniform=0.0)
    with pytest.raises(ValueError, match="reach"):
        Coil((Element((0.0, 0.0, 0.0), 0.0, 1.0),))
