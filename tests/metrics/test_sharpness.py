# SPDX-License-Identifier: Apache-2.0
"""A known blur and a known rim come out as such; gain and noise do not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scripts.metrics.sharpness import border, bright_rim, edge_sharpness

SHAPE = (3, 64, 64)


def step(width: float, angle: float = 0.0) -> Tensor:
    """An edge between .2 and .8 through the middle, blurred by a Gaussian of ``width`` pixels."""
    place = torch.arange(64, dtype=torch.float64) - 31.5
    across = math.cos(angle) * place[None, :] + math.sin(angle) * place[:, None]
    return (0.5 + 0.3 * torch.erf(across / (math.sqrt(2) * width))).expand(SHAPE).float()


@pytest.fixture
def everywhere() -> Tensor:
    return torch.ones(SHAPE, dtype=torch.bool)


@pytest.mark.parametrize("angle", [0.0, 0.5, math.pi / 2], ids=["along columns", "oblique", "along rows"])
@pytest.mark.parametrize("blur", [0.5, 1.0, 2.0])
def test_a_blurred_edge_has_the_slope_of_its_width(everywhere: Tensor, blur: float, angle: float) -> None:
    own, scale = 2.0, 1.0
    target, prediction = step(own, angle), step(math.hypot(own, blur), angle)
    ratio = edge_sharpness(prediction, target, everywhere, strong=0.98)
    before = own**2 + scale**2 + 5 / 12
    assert ratio == pytest.approx(math.sqrt(before / (before + blur**2)), abs=0.01)
    assert ratio < 1
    assert edge_sharpness(target, prediction, everywhere, strong=0.98) > 1


def test_an_ideal_step_is_known_in_closed_form(everywhere: Tensor) -> None:
    target = step(1e-3)
    for blur in (1.0, 2.0):
        ratio = edge_sharpness(step(blur), target, everywhere, strong=0.98)

        def slope(width: float) -> float:
            # Central difference beside a step that lies between two pixels.
            return math.erf(0.5 / (math.sqrt(2) * width)) + math.erf(1.5 / (math.sqrt(2) * width))

        # The Gaussian is averaged over pixels, which widens a smooth edge by a twelfth of a pixel squared.
        assert ratio == pytest.approx(slope(math.sqrt(blur**2 + 1 + 1 / 12)) / slope(1.0), abs=0.005)


def test_equal_is_one_contrast_counts_and_a_turned_edge_is_negative(everywhere: Tensor) -> None:
    target = step(1.0, 0.3)
    assert edge_sharpness(target, target, everywhere) == pytest.approx(1)
    assert edge_sharpness(target + 0.4, target, everywhere) == pytest.approx(1, rel=1e-5)
    assert edge_sharpness(0.5 * target, target, everywhere) == pytest.approx(0.5, rel=1e-5)
    assert edge_sharpness(1 - target, target, everywhere) == pytest.approx(-1, rel=1e-5)
    assert edge_sharpness(0 * target, target, everywhere) == 0


def test_noise_does_not_sharpen(everywhere: Tensor) -> None:
    target = step(1.5)
    noise = 0.05 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    assert edge_sharpness(target + noise, target, everywhere) == pytest.approx(1, abs=0.05)


def test_edges_outside_the_mask_are_not_asked_for(everywhere: Tensor) -> None:
    target = step(1.0)
    prediction = target.clone()
    prediction[:, 40:] = 0.5
    upper = everywhere.clone()
    upper[:, 36:] = False
    assert edge_sharpness(prediction, target, upper) == pytest.approx(1)
    assert edge_sharpness(prediction, target, everywhere) < 0.8


def fat_and_target() -> tuple[Tensor, Tensor]:
    fat = torch.zeros(SHAPE, dtype=torch.bool)
    fat[:, 10:54, 10:32] = True
    return fat, torch.where(fat, 0.1, 0.4)


def test_a_known_rim_comes_out_whatever_the_gain() -> None:
    fat, target = fat_and_target()
    assert bright_rim(target, target, fat) == pytest.approx(1)
    assert bright_rim(1.7 * target, target, fat) == pytest.approx(1)
    for rim in (0.2, -0.1):
        prediction = torch.where(border(fat, 2), (1 + rim) * target, target)
        assert bright_rim(1.7 * prediction, target, fat) == pytest.approx(1 + rim)


def test_the_rim_is_as_wide_as_asked_and_on_both_sides() -> None:
    mask = torch.zeros((1, 9, 12), dtype=torch.bool)
    mask[..., 6:] = True
    assert border(mask, 2)[0, 4].tolist() == [4 <= column < 8 for column in range(12)]
    assert not border(torch.ones_like(mask), 2).any()


def test_what_lies_outside_the_body_is_no_rim() -> None:
    fat, target = fat_and_target()
    body = torch.ones(SHAPE, dtype=torch.bool)
    body[..., :14] = False
    prediction = target.clone()
    prediction[..., :14] = 5
    assert bright_rim(prediction, target, fat, body) == pytest.approx(1)
    assert bright_rim(prediction, target, fat) > 1.2


def test_wrong_input_is_refused(everywhere: Tensor) -> None:
    target = step(1.0)
    with pytest.raises(ValueError, match="flat"):
        edge_sharpness(target, torch.full(SHAPE, 0.3), everywhere)
    with pytest.raises(ValueError, match="quantile"):
        edge_sharpness(target, target, everywhere, strong=1)
    with pytest.raises(ValueError, match="need both"):
        bright_rim(target, target, everywhere)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        bright_rim(target, target, everywhere, width=0)
