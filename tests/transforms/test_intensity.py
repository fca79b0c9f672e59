# SPDX-License-Identifier: Apache-2.0
"""The fixed scale: invertible, and blind to gain."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Invertd

from scripts.body import body_mask, body_scale
from scripts.transforms.intensity import NormalizeMagnitude, NormalizeMagnituded


def image(seed: int = 0) -> MetaTensor:
    generator = torch.Generator().manual_seed(seed)
    voxels = torch.rand(1, 4, 32, 32, generator=generator) * 0.02
    voxels[..., 8:24, 8:24] += 0.3 + 0.7 * torch.rand(16, 16, generator=generator)
    return MetaTensor(voxels * 1234)


def test_the_bright_end_becomes_one_and_air_is_left_out() -> None:
    out = NormalizeMagnitude()(image())
    inside = out[body_mask(out)]
    assert float(torch.quantile(inside, 0.995)) == pytest.approx(1, rel=1e-5)
    assert not body_mask(image())[..., :4, :].any()
    assert body_mask(image())[..., 9:23, 9:23].all()


def test_gain_does_not_matter() -> None:
    torch.testing.assert_close(NormalizeMagnitude()(image() * 0.01), NormalizeMagnitude()(image()))


def test_inverse_gives_the_image_back() -> None:
    normalize = NormalizeMagnitude()
    torch.testing.assert_close(normalize.inverse(normalize(image())), image())


def test_the_dictionary_form_scales_each_key_by_itself_and_monai_inverts_it() -> None:
    transform = NormalizeMagnituded(["image", "label"])
    data = {"image": image(), "label": image(1) * 7}
    out = transform(data)
    for key in data:
        torch.testing.assert_close(out[key], NormalizeMagnitude()(data[key]))
    back = Invertd(["image", "label"], transform, nearest_interp=False)(out)
    for key in data:
        torch.testing.assert_close(back[key], data[key])


@pytest.mark.parametrize(
    "broken", [torch.zeros(1, 2, 16, 16), torch.full((1, 2, 16, 16), float("nan"))], ids=["no signal", "not finite"]
)
def test_an_image_without_a_scale_is_refused(broken: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"need (a magnitude image|magnitudes)"):
        body_scale(broken)
