# SPDX-License-Identifier: Apache-2.0
"""The part of the input gate that sees pixels and grid: what no knee MR can be is refused, what is doubtful is said.

It runs within the bundle, so that a server that knows nothing of this project refuses and warns as well.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from scripts.body import bright_end
from scripts.errors import DecodeError, GateError, UsageError
from scripts.limits import size_problems
from scripts.report.page import RESEARCH_USE

logger = logging.getLogger(__name__)

PARAMETER = "target_contrast"

# A network that halves a slice three times sees nothing in fewer pixels.
LEAST_PIXELS = 16

# A label map has a value per structure; the coarsest scan, of eight bits, has some two hundred.
LEAST_VALUES = 32

# Interpolation leaves a few slightly negative voxels beside edges; CT, phase, differences and z-scores have many.
NEGATIVE_LEVEL, NEGATIVE_SHARE = -0.02, 0.01

_MOST_SAMPLES = 2**20


def pixel_refusal(volume: torch.Tensor) -> GateError | DecodeError | None:
    """Why a volume cannot be a magnitude image of a knee, or None.

    Args:
        volume: ``(1, slices, rows, columns)``, any scale.
    """
    rows, columns = volume.shape[-2:]
    if min(rows, columns) < LEAST_PIXELS:
        return GateError(
            f"slices of {rows} x {columns} pixels; need {LEAST_PIXELS} a side; give the series itself", False
        )
    if not bool(torch.isfinite(volume).all()):
        return DecodeError("NaN or infinite voxels; need finite intensities; replace them before synthesis")
    values = volume.reshape(-1)
    different = torch.unique(values[:: -(-values.numel() // _MOST_SAMPLES)]).numel()
    if different < LEAST_VALUES:
        return GateError(
            f"{different} different voxel values; need a scan, no mask or label map; give the series", False
        )
    share = float((volume < NEGATIVE_LEVEL * bright_end(volume.abs())).float().mean())
    if share > NEGATIVE_SHARE:
        return GateError(
            f"{100 * share:.0f} % of the voxels are negative; need magnitudes of MR, no CT, phase image or z-scores; "
            "give the scan as acquired",
            False,
        )
    return None


class CheckSourced(MapTransform):
    """Refuse what cannot be a source for the contrast that is asked for, and say what is doubtful about it.

    ``result`` of the dictionary, which MONAI Label hands to its client beside the image, holds the direction, the
    warnings, one a line, and the notice that belongs to each synthesis.

    Args:
        keys: the volumes, ``(1, slices, rows, columns)`` in display orientation.
        target: contrast that is asked for.
        contrasts: the two that there are.
        allow_missing_keys: skip keys that are not there.
    """

    def __init__(
        self, keys: KeysCollection, target: str, contrasts: Sequence[str], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.target, self.contrasts = target, list(contrasts)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Check each key.

        Raises:
            UsageError: an unknown contrast, or a request that names it by another word.
            DecodeError, GateError: a volume that is no magnitude image, or one of the contrast that is asked for.
        """
        out = dict(data)
        source = self._source(out)
        found = []
        for key in self.key_iterator(out):
            refusal = pixel_refusal(torch.as_tensor(out[key]))
            if refusal is not None:
                raise refusal
            found += self._doubts(out[key], source)
        for warning in found:
            logger.warning(warning)
        out["result"] = {
            "source_contrast": source,
            PARAMETER: self.target,
            "warnings": "\n".join(found),
            "notice": RESEARCH_USE,
        }
        return out

    def _source(self, data: Mapping[Hashable, Any]) -> str:
        """The contrast to come from; what a server does not know in a request it passes over, so that is asked here."""
        needed = " or ".join(self.contrasts)
        for name in data:
            if name != PARAMETER and any(word in str(name).lower() for word in ("contrast", "target")):
                raise UsageError(f"parameter {name}: unknown; need {PARAMETER}, {needed}; correct the request")
        if self.target not in self.contrasts:
            raise UsageError(f"{PARAMETER} {self.target!r}: unknown; need {needed}; correct the request")
        return self.contrasts[1 - self.contrasts.index(self.target)]

    def _doubts(self, image: torch.Tensor, source: str) -> list[str]:
        if not isinstance(image, MetaTensor):
            return []
        spacing = np.linalg.norm(image.affine.detach().cpu().numpy()[:3, :3], axis=0)
        doubts = [
            f"The model was not made for this: {problem}."
            for problem in size_problems(image.shape[1], (float(spacing[0]), float(spacing[1]), float(spacing[2])))
        ]
        contrast = image.meta.get("contrast", source)  # of DICOM headers; NIfTI is taken at the user's word
        if contrast == self.target:
            raise GateError(f"its headers say {contrast}; need {source} to make {self.target}; ask for {source}", False)
        if contrast != source:
            doubts.append(f"Its headers do not say that it is {source} (contrast: {contrast}).")
        return doubts
