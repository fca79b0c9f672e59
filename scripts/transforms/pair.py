# SPDX-License-Identifier: Apache-2.0
"""Which image of a pair is which contrast."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import Transform

from scripts.errors import UsageError


class OrderPair(Transform):
    """Put a pair in the order of the contrasts: ``image`` is the first, ``label`` the second.

    A server that knows images and their labels calls that contrast the label which was asked for.

    Args:
        target: contrast of the labels that are handed over.
        contrasts: the two, in the order that the network was built with.
    """

    def __init__(self, target: str, contrasts: Sequence[str]) -> None:
        self.target, self.contrasts = target, list(contrasts)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Order one pair, paths or images.

        Raises:
            UsageError: an unknown contrast, or a pair of a manifest that says which slice of the second lies where.
        """
        if self.target not in self.contrasts:
            needed = " or ".join(self.contrasts)
            raise UsageError(f"target_contrast {self.target!r} of the labels: unknown; need {needed}; correct it")
        if self.target == self.contrasts[1]:
            return dict(data)
        if "slices" in data:
            raise UsageError(
                f"target_contrast {self.target!r} with a manifest whose slices lead from {self.contrasts[0]} to "
                f"{self.contrasts[1]}; need {self.contrasts[1]}; correct it"
            )
        return dict(data) | {"image": data["label"], "label": data["image"]}
