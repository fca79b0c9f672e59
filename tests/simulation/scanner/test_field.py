# SPDX-License-Identifier: Apache-2.0
"""Errors of the static and of the transmit field."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.simulation.scanner.field import SHIM_RADIUS, Bump, Dipole, Field, metal, off_resonance, transmit

POINTS = torch.randn(3, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 40


def test_no_error_is_zero_and_nominal() -> None:
    assert float(off_resonance(Field(), POINTS).abs().max()) == 0
    torch.testing.assert_close(transmit(Field(), POINTS), torch.ones(50, dtype=torch.float64))


@pytest.mark.parametrize("term", range(9))
def test_each_shim_term_has_no_source(term: int) -> None:
    field = Field(tuple(100.0 * (number == term) for number in range(9)))
    step = 0.5 * torch.eye(3, dtype=torch.float64)[:, :, None]
    around = sum(
        off_resonance(field, POINTS + sign * step[axis]) for axis in range(3) for sign in (-1, 1)
    ) - 6 * off_resonance(field, POINTS)
    assert isinstance(around, torch.Tensor)
    assert float(around.abs().max()) < 1e-8
    assert float(off_resonance(field, POINTS).abs().max()) > 10


def test_a_shim_term_has_its_value_at_the_stated_radius() -> None:
    place = torch.tensor([[0.0], [0.0], [SHIM_RADIUS]])
    assert float(off_resonance(Field((0.0, 0.0, 0.0, 25.0)), place)) == pytest.approx(25)


def test_a_bump_is_local() -> None:
    field = Field(bumps=(Bump((0.0, -50.0, 20.0), 10.0, 150.0),), lobes=(Bump((30.0, 0.0, 0.0), 20.0, -0.2),))
    places = torch.tensor([[0.0, 0.0, 0.0], [-50.0, -50.0, 60.0], [20.0, 30.0, 20.0]])
    torch.testing.assert_close(
        off_resonance(field, places), torch.tensor([150.0, 150.0 * math.exp(-0.5), 0.0]), atol=1e-3, rtol=1e-5
    )
    assert float(transmit(field, torch.tensor([[30.0], [0.0], [0.0]]))) == pytest.approx(0.8)


def test_metal_is_a_dipole() -> None:
    field = Field(dipoles=(Dipole((0.0, 0.0, 0.0), 3.0, 7000.0),))
    magic = math.acos(1 / math.sqrt(3))
    places = torch.tensor(
        [[0.0, 6.0, 9 * math.sin(magic), 0.0], [0.0, 0.0, 0.0, 0.0], [6.0, 0.0, 9 * math.cos(magic), 600.0]]
    )
    expected = torch.tensor([2 * 7000 / 8, -7000 / 8, 0.0, 0.0])
    torch.testing.assert_close(metal(field, places), expected, atol=0.02, rtol=1e-4)


def test_impossible_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="9 shim"):
        Field((0.0,) * 10)
    with pytest.raises(ValueError, match="radius"):
        Field(bumps=(Bump((0.0, 0.0, 0.0), 0.0, 1.0),))
