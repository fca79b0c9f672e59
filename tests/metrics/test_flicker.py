# SPDX-License-Identifier: Apache-2.0
"""A known flicker comes out, and neither anatomy nor coil is taken for it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scripts.metrics.flicker import Flicker, flicker

SHAPE = (7, 80, 96)


@pytest.fixture
def source() -> Tensor:
    place = torch.linspace(0, 3, SHAPE[-1])
    return (1 + 0.5 * torch.sin(place)).expand(SHAPE).clone()


def found(source: Tensor, synthesis: Tensor, body: Tensor | None = None) -> Flicker:
    measured = flicker(source, synthesis, torch.ones(SHAPE) if body is None else body)
    assert measured is not None
    return measured


def test_one_bright_slice_jumps_by_its_factor_and_its_neighbours_back_by_half(source: Tensor) -> None:
    synthesis = source.clone()
    synthesis[3] *= 1.1
    jump = math.log(1.1)
    expected = {1: 0, 2: -jump / 2, 3: jump, 4: -jump / 2, 5: 0}
    measured = found(source, synthesis)
    assert measured.jumps == pytest.approx(expected, abs=1e-6)
    assert measured.value == pytest.approx(jump * math.sqrt(1.5 / 5), rel=1e-5)


def test_gain_slope_and_local_errors_do_not_flicker(source: Tensor) -> None:
    depth = torch.arange(SHAPE[0]).view(-1, 1, 1)
    assert found(source, 0.2 * source).value == pytest.approx(0, abs=1e-6)
    assert found(source, source * torch.exp(0.1 * depth)).value == pytest.approx(0, abs=1e-6)
    local = source.clone()
    local[3, :32, :32] *= 3
    assert found(source[None], local[None]).value == pytest.approx(0, abs=1e-6)


def test_a_tissue_that_ends_is_no_jump(source: Tensor) -> None:
    synthesis = source.clone()
    source[3:, :, 32:] *= 3
    synthesis[3:, :, 32:] *= 0.2
    measured = flicker(source, synthesis, torch.ones(SHAPE))
    assert measured is None or measured.value == pytest.approx(0, abs=1e-6)


def test_only_the_body_counts(source: Tensor) -> None:
    synthesis = source.clone()
    synthesis[3, :, 64:] *= 2
    body = torch.ones(SHAPE)
    body[..., 64:] = 0
    assert found(source, synthesis, body).value == 0
    assert flicker(source, synthesis, torch.zeros(SHAPE)) is None
    assert flicker(source[:2], synthesis[:2], body[:2]) is None
