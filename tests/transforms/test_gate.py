# SPDX-License-Identifier: Apache-2.0
"""What is refused by its pixels, what is only warned of, and that a knee scan passes without a word."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from scripts.errors import DecodeError, GateError, KneeSynthError, UsageError
from scripts.transforms.gate import CheckSourced, pixel_refusal


def scan(slices: int = 12, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Bright tissue in noisy air."""
    generator = torch.Generator().manual_seed(seed)
    air = torch.randn(2, 1, slices, side, side, generator=generator).square().sum(0).sqrt() * 10
    tissue = 300 + 900 * torch.rand(1, slices, side // 2, side // 2, generator=generator)
    air[:, :, side // 4 : side // 4 + side // 2, side // 4 : side // 4 + side // 2] += tissue
    return air


def volume(voxels: torch.Tensor, spacing: tuple[float, float, float] = (3.5, 0.4, 0.4), **meta: Any) -> MetaTensor:
    return MetaTensor(voxels, affine=torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64)), meta=meta)


def check(image: torch.Tensor, wanted: Any = "PDFS", **request: Any) -> dict[Any, Any]:
    return CheckSourced("image", wanted, ["PD", "PDFS"])({"image": image, **request})


@pytest.mark.parametrize(("target", "source"), [("PDFS", "PD"), ("PD", "PDFS")])
def test_a_scan_passes_unchanged_and_its_direction_is_told(
    target: str, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = volume(scan())
    out = check(image, target)
    assert out["image"] is image
    assert out["result"]["source_contrast"] == source and out["result"]["target_contrast"] == target
    assert out["result"]["warnings"] == "" and caplog.records == []
    assert "Research use only" in out["result"]["notice"]


def test_a_few_negative_voxels_of_an_interpolation_pass() -> None:
    voxels = scan()
    ringing = voxels.view(-1)
    ringing[:: len(ringing) // 60] = -0.05 * float(voxels.max())  # half a percent
    assert pixel_refusal(voxels) is None
    ringing[:: len(ringing) // 600] = -0.05 * float(voxels.max())
    assert pixel_refusal(voxels) is not None


def _with_nan() -> torch.Tensor:
    voxels = scan()
    voxels[0, 0, 0, 0] = float("nan")
    return voxels


@pytest.mark.parametrize(
    ("voxels", "error", "said"),
    [
        (_with_nan(), DecodeError, "NaN"),
        (torch.zeros(1, 12, 32, 32), GateError, "1 different voxel values"),
        (torch.full((1, 12, 32, 32), 700.0), GateError, "1 different voxel values"),
        ((scan() / 200).round(), GateError, "mask or label map"),
        (scan() - 1000, GateError, "% of the voxels are negative"),
        ((scan() - scan().mean()) / scan().std(), GateError, "z-scores"),
        (scan() - scan(seed=1), GateError, "% of the voxels are negative"),
        (scan(side=12), GateError, "slices of 12 x 12 pixels"),
    ],
    ids=["nan", "empty", "constant", "labels", "like CT", "z-scores", "a difference", "too small"],
)
def test_what_no_magnitude_image_looks_like_is_refused(
    voxels: torch.Tensor, error: type[KneeSynthError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        check(volume(voxels))
    assert getattr(caught.value, "liftable", False) is False


@pytest.mark.parametrize("gain", [1e-4, 1e5])
def test_gain_does_not_matter(gain: float) -> None:
    assert pixel_refusal(scan() * gain) is None
    assert pixel_refusal((scan() - 600) * gain) is not None


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (volume(scan(slices=3)), "3 slices"),
        (volume(scan(), (3.5, 2.0, 2.0)), "pixels are 2.00 x 2.00 mm"),
        (volume(scan(), (0.5, 0.4, 0.4)), "0.50 mm apart"),
        (volume(scan(), contrast="unknown"), "contrast: unknown"),
    ],
    ids=["few slices", "coarse", "thin", "headers do not say"],
)
def test_what_is_doubtful_is_logged_and_handed_on(
    image: MetaTensor, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        out = check(image)
    assert said in out["result"]["warnings"] and said in caplog.text


def test_headers_that_name_the_wanted_contrast_are_refused_and_those_of_the_source_are_not() -> None:
    with pytest.raises(GateError, match="headers say PDFS; need PD to make PDFS"):
        check(volume(scan(), contrast="PDFS"))
    assert check(volume(scan(), contrast="PD"))["result"]["warnings"] == ""


@pytest.mark.parametrize("target", ["T2", "pdfs", "", None, 1, ["PD"]])
def test_an_unknown_contrast_is_refused(target: Any) -> None:
    with pytest.raises(UsageError, match="need PD or PDFS"):
        check(volume(scan()), target)


@pytest.mark.parametrize("name", ["target", "contrast", "Target_Contrast", "source_contrast"])
def test_a_request_that_misnames_its_parameter_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"parameter {name}: unknown; need target_contrast"):
        check(volume(scan()), target_contrast="PDFS", **{name: "PD"})
