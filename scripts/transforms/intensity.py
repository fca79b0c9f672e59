# SPDX-License-Identifier: Apache-2.0
"""Invertible scaling of a magnitude image by its own bright end."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform

from scripts.body import BODY_THRESHOLD, QUANTILE, body_scale


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
