# SPDX-License-Identifier: Apache-2.0
"""Blobs that were put in are counted, and connected parts are those of an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from scripts.metrics.blobs import bright_blobs, components

SHAPE = (4, 32, 32)


@pytest.fixture
def target() -> Tensor:
    return 0.2 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def everywhere() -> Tensor:
    return torch.ones(SHAPE, dtype=torch.bool)


def test_blobs_are_counted_with_their_size_place_and_height(target: Tensor, everywhere: Tensor) -> None:
    prediction = target.clone()
    prediction[1, 4:8, 4:8] += 0.3
    prediction[1:3, 20:25, 20:24] += 0.2
    prediction[2, 21, 21] += 0.4
    large, small = bright_blobs(prediction, target, everywhere)
    assert (large.voxels, small.voxels) == (40, 16)
    assert (large.peak, small.peak) == pytest.approx((0.6, 0.3))
    assert large.centre == (1.5, 22.0, 21.5) and small.centre == (1.0, 5.5, 5.5)
    assert bright_blobs(prediction[None], target[None], everywhere[None]) == [large, small]


def test_faint_small_dark_and_outlying_ones_do_not_count(target: Tensor, everywhere: Tensor) -> None:
    prediction = target.clone()
    prediction[0, :8, :8] += 0.14
    prediction[1, 10:13, 10:13] += 0.5
    prediction[2, 20:30, 20:30] -= 0.5
    prediction[3, 25:31, 2:8] += 0.5
    mask = everywhere.clone()
    mask[3] = False
    assert bright_blobs(prediction, target, mask) == []
    assert [blob.voxels for blob in bright_blobs(prediction, target, mask, least_voxels=9)] == [9]
    assert [blob.voxels for blob in bright_blobs(prediction, target, mask, threshold=0.13)] == [64]
    assert [blob.voxels for blob in bright_blobs(prediction, target, everywhere)] == [36]


def test_touching_corners_are_two_blobs(target: Tensor, everywhere: Tensor) -> None:
    prediction = target.clone()
    prediction[1, 4:8, 4:8] += 0.3
    prediction[1, 8:12, 8:12] += 0.3
    assert [blob.voxels for blob in bright_blobs(prediction, target, everywhere)] == [16, 16]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.35, 0.6, 1.0])
@pytest.mark.parametrize("shape", [(6, 24, 24), (1, 1, 40), (30, 30)], ids=str)
def test_parts_are_those_of_scipy(shape: tuple[int, ...], share: float) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < share
    np.testing.assert_array_equal(components(mask).numpy(), ndimage.label(mask.numpy())[0])


def test_a_winding_path_is_one_part() -> None:
    spiral = torch.zeros((41, 41), dtype=torch.bool)
    spiral[::2] = True
    spiral[1::4, -1] = True
    spiral[3::4, 0] = True
    assert int(components(spiral).max()) == 1


def test_an_empty_mask_is_refused(target: Tensor, everywhere: Tensor) -> None:
    with pytest.raises(ValueError, match="holds 0 voxels"):
        bright_blobs(target, target, ~everywhere)
