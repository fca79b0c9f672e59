# SPDX-License-Identifier: Apache-2.0
"""Pairs that a server hands over get the order of the network's contrasts."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.errors import UsageError
from scripts.transforms.pair import OrderPair


@pytest.mark.parametrize(
    ("target", "image", "label"), [("PDFS", "a.nii.gz", "b.nii.gz"), ("PD", "b.nii.gz", "a.nii.gz")]
)
def test_the_label_is_the_contrast_that_was_named(target: str, image: str, label: str) -> None:
    handed = {"image": "a.nii.gz", "label": "b.nii.gz", "patient": "p"}
    ordered = OrderPair(target, ["PD", "PDFS"])(handed)
    assert ordered == {"image": image, "label": label, "patient": "p"}
    assert handed["image"] == "a.nii.gz"


@pytest.mark.parametrize("target", ["T2", None])
def test_labels_of_an_unknown_contrast_are_refused(target: Any) -> None:
    with pytest.raises(UsageError, match="need PD or PDFS"):
        OrderPair(target, ["PD", "PDFS"])({"image": "a", "label": "b"})
