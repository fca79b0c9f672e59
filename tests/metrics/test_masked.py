# SPDX-License-Identifier: Apache-2.0
"""Volumes and masks come out plain and of one shape, or the error says which one does not fit."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from scripts.metrics.masked import mask_of, volumes_of


def test_a_channel_and_meta_data_are_taken_off() -> None:
    volume = torch.rand(2, 5, 6)
    first, second = volumes_of(first=MetaTensor(volume[None]), second=volume.half())
    assert type(first) is torch.Tensor and first.dtype == second.dtype == torch.float64
    assert first.equal(volume.double()) and second.shape == (2, 5, 6)
    inside = mask_of((volume > 0.5).float()[None], first)
    assert inside.equal(volume > 0.5) and inside.dtype == torch.bool


def test_the_error_names_what_does_not_fit() -> None:
    volume = torch.rand(2, 5, 6)
    with pytest.raises(ValueError, match=r"second needs shape \(D, H, W\) or \(1, D, H, W\), got \(2, 2, 5, 6\)"):
        volumes_of(first=volume, second=volume.expand(2, 2, 5, 6))
    with pytest.raises(ValueError, match=r"first \(2, 5, 6\), second \(2, 5, 5\)"):
        volumes_of(first=volume, second=volume[..., 1:])
    broken = volume.clone()
    broken[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="second holds values that are not finite"):
        volumes_of(first=volume, second=broken)
    with pytest.raises(ValueError, match="fat has shape"):
        mask_of(volume[:1], volume, "fat")
    with pytest.raises(ValueError, match="fat holds 60 voxels, the measure needs at least 61"):
        mask_of(torch.ones_like(volume), volume, "fat", least=61)
