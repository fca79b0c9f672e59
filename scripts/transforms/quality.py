# SPDX-License-Identifier: Apache-2.0
"""The part of the input gate that measures: noise, contrast, metal and motion of a volume, before a network sees it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform

from scripts.quality.judge import Judgement, judge
from scripts.quality.limits import Limits, read_limits, shipped_limits
from scripts.quality.measure import measure
from scripts.transforms.orientation import display_plane

logger = logging.getLogger(__name__)

QUALITY = "quality"
"""Entry of ``result`` that holds the judgement, as JSON text: a batch of one takes no None."""


class MeasureQualityd(MapTransform):
    """Measure a source and add to ``result`` of `CheckSourced` what is doubtful about it. Nothing is refused here.

    Whoever may refuse reads the judgement with `quality_of`. A server that knows nothing of this project hands
    ``warnings`` to its client, with the refusals among them.

    Args:
        keys: normalised volumes, ``(1, slices, rows, columns)`` in display orientation.
        limits: file of a site's own ranges, see `scripts.quality.limits`; None for those of the weights.
        allow_missing_keys: skip keys that are not there.
    """

    def __init__(self, keys: KeysCollection, limits: str | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.limits = shipped_limits() if limits is None else read_limits(Path(limits))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Measure each key."""
        out = dict(data)
        for key in self.key_iterator(out):
            if isinstance(out[key], MetaTensor):  # without an affine nothing is known of its size
                result = out["result"]
                judgement = judgement_of(out[key], result["source_contrast"], self.limits)
                quality = judgement.as_dict()
                for line in lines_of(quality):
                    logger.warning(line)
                said = "\n".join([*result["warnings"].splitlines(), *lines_of(quality)])
                out["result"] = {**result, "warnings": said, QUALITY: json.dumps(quality)}
        return out


def without_measures(preprocessing: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The same chain for an image that is no source."""
    if not isinstance(preprocessing, Compose):
        return preprocessing
    return Compose([one for one in preprocessing.transforms if not isinstance(one, MeasureQualityd)])


def judgement_of(image: MetaTensor, contrast: str, limits: Limits | None = None) -> Judgement:
    """Measure and judge one preprocessed volume ``(1, slices, rows, columns)``, by the weights' limits or others."""
    affine = image.affine.detach().cpu().numpy()
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    spacing = (float(sizes[0]), float(sizes[1]), float(sizes[2]))
    voxels = torch.as_tensor(image)[0].detach().cpu()
    plain = voxels.as_tensor() if isinstance(voxels, MetaTensor) else voxels
    return judge(measure(plain, spacing, display_plane(affine, 0)), contrast, spacing, limits)


def lines_of(quality: Mapping[str, Any]) -> list[str]:
    """Refusals and warnings of `quality_of` as sentences, for who cannot refuse."""
    return [f"The model was not made for this: {problem}." for problem, _ in quality["refusals"]] + quality["warnings"]


def quality_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The judgement in ``result``: ``refusals``, ``warnings``, ``measures``; empty ones where none was made."""
    found: dict[str, Any] = json.loads(result.get(QUALITY) or "{}")
    return {"refusals": [], "warnings": [], "measures": {}} | found
