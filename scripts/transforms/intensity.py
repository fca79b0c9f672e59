# SPDX-License-Identifier: Apache-2.0
"""Invertible scaling of a magnitude image by its own bright end."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform

BODY_THRESHOLD = 0.1
"""A voxel belongs to the body if it reaches this share of the bright end of the whole volume."""
QUANTILE = 0.995
_MOST_SAMPLES = 2**23  # torch.quantile takes at most 2**24 values; a fixed stride keeps the result reproducible


def bright_end(volume: torch.Tensor, quantile: float = QUANTILE) -> torch.Tensor:
    """The given quantile of all finite values, from a regular subsample where the volume is very large."""
    values = volume.reshape(-1).float()
    if values.numel() > _MOST_SAMPLES:
        values = values[:: -(-values.numel() // _MOST_SAMPLES)]
    return torch.quantile(values, quantile)


def body_mask(volume: torch.Tensor, threshold: float = BODY_THRESHOLD) -> torch.Tensor:
    """Voxels brighter than ``threshold`` times the volume's 99.5th percentile: body, without air and most bone.

    Args:
        volume: magnitude image, any shape, any scale.
        threshold: share of the bright end, 0..1.

    Returns:
        Boolean tensor of the same shape.
    """
    return volume > threshold * bright_end(volume)


def body_scale(volume: torch.Tensor, quantile: float = QUANTILE, threshold: float = BODY_THRESHOLD) -> float:
    """The 99.5th percentile inside the body: what the fixed scale calls 1.0.

    Raises:
        ValueError: if the image holds no signal or values that are not finite.
    """
    if not torch.isfinite(volume).all():
        raise ValueError("The image holds values that are not finite; need magnitudes. Export the series again.")
    inside = volume[body_mask(volume, threshold)]
    if inside.numel() == 0 or float(inside.max()) <= 0:
        raise ValueError("The image holds no signal (all voxels are equal or zero); need a magnitude image of a knee.")
    return float(bright_end(inside, quantile))


class NormalizeMagnitude(InvertibleTransform):
    """Divide a magnitude image by its 99.5th percentile inside the body; `inverse` multiplies it back.

    The result has no unit: 1.0 is the bright end of this very series, whatever its gain. Noise stays Rician, since
    nothing is subtracted. At inference the receiver gain of the other contrast is unknown, therefore a synthesised
    image stays on this scale, where 1.0 is the target contrast's own bright end; it is never put on the source's.

    Args:
        quantile: which quantile is called 1.0.
        threshold: share of the bright end of the whole volume above which a voxel counts as body.
    """

    def __init__(self, quantile: float = QUANTILE, threshold: float = BODY_THRESHOLD) -> None:
        super().__init__()
        self.quantile, self.threshold = quantile, threshold

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """Normalise ``(C, ...)`` magnitudes to float32 with one scale for all channels."""
        scale = body_scale(torch.as_tensor(img), self.quantile, self.threshold)
        out = img.float() / scale
        if isinstance(out, MetaTensor):
            self.push_transform(out, extra_info={"scale": scale})
        return out

    def inverse(self, data: MetaTensor) -> torch.Tensor:
        """Undo the division with the scale that the image itself recorded."""
        transform = self.pop_transform(data)
        return data * transform["extra_info"]["scale"]


class NormalizeMagnituded(MapTransform, InvertibleTransform):
    """Dictionary form of `NormalizeMagnitude`; every key is divided by its own scale.

    Args:
        keys: images to normalise.
        quantile: see `NormalizeMagnitude`.
        threshold: see `NormalizeMagnitude`.
        allow_missing_keys: pass over absent keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        quantile: float = QUANTILE,
        threshold: float = BODY_THRESHOLD,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.normalize = NormalizeMagnitude(quantile, threshold)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Normalise each key."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self.normalize(out[key])
        return out

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put each key back on its own scale."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self.normalize.inverse(out[key])
        return out
