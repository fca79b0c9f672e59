# SPDX-License-Identifier: Apache-2.0
"""One volume and where to measure in it: shapes, finite values and masks are checked here, once for every measure."""

from __future__ import annotations

import torch
from monai.utils import convert_to_tensor
from torch import Tensor


def volumes_of(**volumes: Tensor) -> list[Tensor]:
    """Plain volumes in double precision, ``(D, H, W)`` each, in the order given.

    Args:
        volumes: by the name that an error calls them; all ``(D, H, W)`` or ``(1, D, H, W)``, of one size and finite.

    Raises:
        ValueError: for another number of dimensions, sizes that differ or a value that is not finite.
    """
    plain = []
    for name, volume in volumes.items():
        values = _three(name, volume).detach().double()
        if not bool(torch.isfinite(values).all()):
            # A measure that leaves such a voxel out would flatter the model that broke.
            raise ValueError(f"{name} holds values that are not finite: it cannot be measured")
        plain.append(values)
    if len({tuple(values.shape) for values in plain}) > 1:
        got = ", ".join(f"{name} {tuple(values.shape)}" for name, values in zip(volumes, plain, strict=True))
        raise ValueError(f"volumes need one shape, got {got}")
    return plain


def mask_of(mask: Tensor, like: Tensor, name: str = "the mask", least: int = 1) -> Tensor:
    """A mask as boolean ``(D, H, W)``.

    Args:
        mask: non-zero inside, ``(D, H, W)`` or ``(1, D, H, W)``.
        like: a volume that `volumes_of` gave; the mask needs its size and goes to its device.
        name: what an error calls the mask.
        least: voxels that the measure needs.

    Raises:
        ValueError: for another size, or fewer voxels than needed.
    """
    inside = _three(name, mask).to(like.device) != 0
    if inside.shape != like.shape:
        raise ValueError(f"{name} has shape {tuple(inside.shape)}, the volume {tuple(like.shape)}: they need one shape")
    voxels = int(inside.sum())
    if voxels < least:
        raise ValueError(f"{name} holds {voxels} voxels, the measure needs at least {least}")
    return inside


def _three(name: str, volume: Tensor) -> Tensor:
    plain = convert_to_tensor(volume, track_meta=False)
    if plain.ndim == 4 and plain.shape[0] == 1:
        plain = plain[0]
    if plain.ndim != 3:
        raise ValueError(f"{name} needs shape (D, H, W) or (1, D, H, W), got {tuple(plain.shape)}")
    return plain
