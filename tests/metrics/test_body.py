# SPDX-License-Identifier: Apache-2.0
"""The mask that scores are taken in holds the dark tissues and no air."""

from __future__ import annotations

import pytest
import torch

from scripts.metrics.body import fill_body
from scripts.simulation.study import draw_study, simulate_study


def disc(rows: int = 64, columns: int = 48, radius: float = 18.0) -> torch.Tensor:
    row, column = torch.meshgrid(torch.arange(rows) - rows / 2, torch.arange(columns) - columns / 2, indexing="ij")
    return row**2 + column**2 < radius**2


def test_dark_tissue_inside_is_filled_and_air_outside_is_not() -> None:
    body = disc()
    bright = body.clone()
    bright[28:36, 16:32] = False  # a meniscus
    bright[24:27, 10:38] = False  # a cortex, with tissue on both sides
    assert (body & ~bright).sum() > 100
    torch.testing.assert_close(fill_body(bright), body)


def test_noise_in_the_air_encloses_nothing() -> None:
    body = disc()
    noise = torch.rand(body.shape, generator=torch.Generator().manual_seed(0)) < 0.05
    assert (fill_body(body | noise) & ~disc(radius=21.0)).sum() == 0
    assert fill_body(noise).sum() == 0


def test_each_slice_is_filled_by_itself_and_the_shape_is_kept() -> None:
    ring = disc() & ~disc(radius=10.0)
    stack = torch.stack([ring, torch.zeros_like(ring), disc(radius=12.0)])[None, None]
    filled = fill_body(stack.float())
    assert filled.shape == stack.shape and filled.dtype == torch.bool
    assert not filled[0, 0, 1].any()
    torch.testing.assert_close(filled[0, 0, 0], fill_body(ring))
    assert filled[0, 0, 0, 32, 24] and filled[0, 0, 0].sum() > ring.sum()


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_a_simulated_knee_keeps_its_dark_tissues(plane: str) -> None:
    study = simulate_study(draw_study(7, plane=plane, shape=(2, 96, 96)), sub_slices=1)
    bright = torch.stack([image > 0.1 * image.quantile(0.995) for image in study.clean]).any(dim=0)
    inside = (study.labels > 0)[:, 4:-4, 4:-4]  # away from the border, which may cut a cortex open
    missing = [float((inside & ~mask[:, 4:-4, 4:-4]).sum() / inside.sum()) for mask in (bright, fill_body(bright))]
    assert missing[0] > 0.005, "the case is gone: the simulated knee has no dark tissue"
    assert missing[1] < 0.3 * missing[0]
