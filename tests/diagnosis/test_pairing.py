# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scripts.diagnosis.pairing import BINS, mutual_information, overlap, pairing_evidence


def blobs(seed: int, side: int = 64) -> Tensor:
    """Smooth positive texture ``(1, 1, side, side)``."""
    image = torch.rand(1, 1, side // 4, side // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(image, size=(side, side), mode="bicubic").clamp(min=0) + 0.2


def test_information_of_an_image_with_itself_is_the_entropy_of_its_bins() -> None:
    image = torch.rand(200, 200, generator=torch.Generator().manual_seed(0)) + 0.5
    assert mutual_information(image, image) == pytest.approx(math.log(BINS), rel=0.01)


def test_information_does_not_ask_how_contrast_is_mapped() -> None:
    image = torch.rand(200, 200, generator=torch.Generator().manual_seed(0)) + 0.5
    assert mutual_information(image, 3 - image) == pytest.approx(math.log(BINS), rel=0.01)


def test_independent_images_share_no_information() -> None:
    a, b = torch.rand(2, 48, 48, generator=torch.Generator().manual_seed(0)) + 0.5
    assert mutual_information(a, b) < 0.02


@pytest.mark.parametrize("shift", [(0, 0), (8, 0), (0, -5), (-7, 4)], ids=str)
@pytest.mark.parametrize(
    "contrast", [lambda x: x, lambda x: 2 - x, lambda x: x**2], ids=["same", "inverted", "squared"]
)
def test_overlap_finds_the_shift(shift: tuple[int, int], contrast: object) -> None:
    image = blobs(0)
    distance, height = overlap(image, contrast(image).roll(shift, (-2, -1)))  # type: ignore[operator]
    assert distance == pytest.approx(math.hypot(*shift), abs=1e-6)
    assert height > 5


def test_pairs_need_two() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        pairing_evidence(blobs(0), blobs(0))


def test_slices_of_one_patient_do_not_count_as_unrelated() -> None:
    a = torch.cat([blobs(0), blobs(0), blobs(1), blobs(1)])
    patient = torch.tensor([0, 0, 1, 1])
    assert pairing_evidence(a, 2 - a, patient).information > 2 * pairing_evidence(a, 2 - a).information
