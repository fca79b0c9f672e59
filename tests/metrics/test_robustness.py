# SPDX-License-Identifier: Apache-2.0
"""A copy is stable under every perturbation, and each instability shows in its own row."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scripts.metrics.robustness import fresh_noise, shading, shift, stability, standard_perturbations, zoom

SHAPE = (2, 64, 48)
SIGMA = 0.05
ALL = standard_perturbations(SIGMA)
EXACT = ["gain x0.5", "gain x2", "flip", "shift 0.5 pixel", "shading 1:2"]
NAMES = ["gain x0.5", "gain x2", "flip", "shift 0.5 pixel", "zoom x0.8", "zoom x1.25", "fresh noise", "shading 1:2"]


@pytest.fixture
def source() -> Tensor:
    rows, columns = torch.linspace(-3, 3, SHAPE[1]), torch.linspace(-2, 2, SHAPE[2])
    hill = torch.exp(-(rows[:, None] ** 2) - columns**2 / 0.8) + 0.4 * torch.exp(
        -((rows[:, None] - 1) ** 2) - columns**2
    )
    return (0.02 + hill).expand(SHAPE).clone()


@pytest.fixture
def body(source: Tensor) -> Tensor:
    return source > 0.1


def rows(network: Callable[[Tensor], Tensor], source: Tensor, body: Tensor) -> dict[str, tuple[float, float]]:
    return {row.name: (row.change, row.floor) for row in stability(network, source, body, ALL)}


def test_a_copy_is_stable_in_every_row(source: Tensor, body: Tensor) -> None:
    found = rows(lambda volume: volume, source, body)
    assert list(found) == NAMES
    for name, (change, floor) in found.items():
        assert change == pytest.approx(floor, abs=1e-6)
        if name in EXACT:
            assert change < 1e-5
        elif name != "fresh noise":
            assert change < 0.01
    scale = float(source[body].square().mean().sqrt())
    assert found["fresh noise"][1] == pytest.approx(SIGMA / scale, rel=0.1)


def test_a_network_that_is_unstable_shows_where(source: Tensor, body: Tensor) -> None:
    def unstable(network: Callable[[Tensor], Tensor]) -> set[str]:
        return {name for name, (change, floor) in rows(network, source, body).items() if change > floor + 0.02}

    ramp = torch.linspace(0.5, 1.5, SHAPE[-1])
    assert unstable(lambda volume: 3 * volume) == set()
    assert unstable(lambda volume: volume.clamp(max=0.3)) >= {"gain x0.5", "gain x2", "shading 1:2"}
    assert unstable(lambda volume: volume * ramp) - {"fresh noise"} == {"flip", "zoom x0.8", "zoom x1.25"}
    every_other = torch.ones(SHAPE[-1])
    every_other[::2] = 0.7
    assert "shift 0.5 pixel" in unstable(lambda volume: volume * every_other)
    blurred = torch.nn.AvgPool2d(5, stride=1, padding=2)
    change, floor = rows(lambda volume: blurred(volume[:, None])[:, 0], source, body)["fresh noise"]
    assert change < 0.4 * floor


def test_half_a_pixel_twice_is_one_pixel(source: Tensor) -> None:
    half = shift(0.5)
    grain = torch.randn((1, 33, 35), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(half.change(half.change(grain)), grain.roll((1, 1), (-2, -1)), atol=1e-5, rtol=0)
    torch.testing.assert_close(half.undo(half.change(source)), source, atol=1e-5, rtol=0)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_zoom_enlarges_about_the_centre(factor: float) -> None:
    place = torch.arange(64) - 31.5
    disc = (torch.hypot(place[:, None], place) < 15).float().expand(1, 64, 64)
    zoomed = zoom(factor).change(disc)
    assert float(zoomed.sum() / disc.sum()) == pytest.approx(factor**2, rel=0.03)
    middle = (zoomed[0].sum(dim=0) * place).sum() / zoomed.sum()
    assert float(middle) == pytest.approx(0, abs=1e-3)


def test_noise_is_rician_and_the_same_for_the_same_seed() -> None:
    air = torch.zeros((1, 200, 200))
    noisy = fresh_noise(SIGMA, 3).change(air)
    assert float(noisy.mean()) == pytest.approx(SIGMA * (torch.pi / 2) ** 0.5, rel=0.02)
    assert noisy.equal(fresh_noise(SIGMA, 3).change(air)) and not noisy.equal(fresh_noise(SIGMA, 4).change(air))


def test_shading_has_the_ratio_asked_for(source: Tensor) -> None:
    field = shading(3.0).change(torch.ones(SHAPE))
    assert float(field[0, 0, -1] / field[0, 0, 0]) == pytest.approx(3)
    assert field[0].equal(field[0, :1].expand(SHAPE[1:]))


def test_what_left_the_image_is_not_compared() -> None:
    columns = torch.linspace(1, 2, SHAPE[-1]).expand(SHAPE)
    (row,) = stability(lambda volume: volume, columns, torch.ones(SHAPE), [zoom(1.25)])
    assert row.floor < 1e-3


def test_a_prediction_of_nothing_is_refused(source: Tensor, body: Tensor) -> None:
    with pytest.raises(ValueError, match="means nothing"):
        stability(lambda volume: 0 * volume, source, body, ALL)
