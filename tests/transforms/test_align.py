# SPDX-License-Identifier: Apache-2.0
"""A pair comes onto one grid: whatever order, spacing, matrix or place, the same anatomy lies under the same pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.errors import GeometryError, UsageError
from scripts.transforms.align import AlignPair, AlignPaird, grid_of


def anatomy(points: np.ndarray) -> np.ndarray:
    """A smooth field over the world [mm]."""
    x, y, z = np.moveaxis(points, -1, 0)
    return 2 + np.sin(x / 6) * np.cos(y / 7) + 0.5 * np.sin((x + y) / 9 + z / 5)


def volume(shape: tuple[int, int, int], affine: np.ndarray, motion: np.ndarray | None = None) -> MetaTensor:
    """The field on a grid; with a motion the field lies elsewhere, and the header does not tell."""
    index = np.stack([*np.meshgrid(*map(np.arange, shape), indexing="ij"), np.ones(shape)], axis=-1)
    world = index @ affine.T
    if motion is not None:
        world = world @ motion.T
    return MetaTensor(torch.from_numpy(anatomy(world[..., :3])).float()[None], affine=torch.from_numpy(affine))


def affine(spacing: tuple[float, float, float], origin: tuple[float, float, float], tilt: float = 0.3) -> np.ndarray:
    c, s = math.cos(tilt), math.sin(tilt)
    axes = np.array([[c, 0, s], [0, -1, 0], [-s, 0, c]])
    found = np.eye(4)
    found[:3, :3] = axes * np.array(spacing)
    found[:3, 3] = origin
    return found


PD = affine((3.0, 0.8, 0.7), (5.0, 20.0, -15.0))


def middle(of: MetaTensor) -> np.ndarray:
    return grid_of(of.affine.numpy(), of.shape[1:]).middle


def rows_by_place(image: MetaTensor, label: MetaTensor) -> list[list[float]]:
    normal = grid_of(image.affine.numpy(), image.shape[1:]).normal
    there, here = middle(label) @ normal, middle(image) @ normal
    pairs = [(k, int(np.abs(there - place).argmin())) for k, place in enumerate(here)]
    return [[k, m, 0, 0, 0] for k, m in pairs if abs(there[m] - here[k]) < 0.01]


def test_another_matrix_field_of_view_and_order_come_onto_the_grid_of_pd() -> None:
    image = volume((6, 40, 44), PD)
    other = affine((-3.0, 0.55, 0.5), tuple(PD[:3, 3] + PD[:3, 0] * 7 + PD[:3, 1] * 2.3))
    label = volume((8, 64, 60), other)
    rows = rows_by_place(image, label)
    assert [row[:2] for row in rows] == [[k, 7 - k] for k in range(6)]
    one, two = AlignPair()(image, label, rows)
    seen = (two > 0).numpy()
    assert one.shape == two.shape == (1, 6, 40, 44) and 0.5 < seen.mean() < 1
    np.testing.assert_allclose(two.numpy()[seen], one.numpy()[seen], atol=0.06)  # half a pixel is outside
    assert (one.numpy()[~seen] == 0).all(), "what one of the two did not see is taken from both"


def test_shift_and_turn_are_undone_and_positions_alone_are_not_enough() -> None:
    angle, dx, dy = 0.05, 1.7, -2.2
    image = volume((5, 48, 52), PD)
    grid = grid_of(PD, (5, 48, 52))
    frame = np.stack((grid.right, grid.down, np.cross(grid.right, grid.down)), axis=1)
    turn = frame @ [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]] @ frame.T
    there = np.eye(4)  # where PD's anatomy lies on PDFS
    there[:3, :3] = turn
    there[:3, 3] = grid.middle[0] - turn @ grid.middle[0] + dx * grid.right + dy * grid.down
    label = volume((5, 48, 52), PD, np.linalg.inv(there))
    rows = [[k, k, dx, dy, angle] for k in range(5)]
    one, two = AlignPair()(image, label, rows)
    inner = np.s_[:, :, 6:-6, 6:-6]
    np.testing.assert_allclose(two.numpy()[inner], one.numpy()[inner], atol=0.02)
    _, plain = AlignPair(registered=False)(image, label, rows)
    assert np.abs(plain.numpy() - one.numpy())[inner].max() > 0.2


def test_kept_slices_are_cropped_and_the_affine_moves_along() -> None:
    image, label = volume((6, 20, 24), PD), volume((6, 20, 24), PD)
    one, two = AlignPair()(image, label, [[k, k, 0, 0, 0] for k in (2, 3, 4)])
    np.testing.assert_allclose(one.numpy(), image.numpy()[:, 2:5])
    np.testing.assert_allclose(two.numpy(), image.numpy()[:, 2:5], atol=1e-4)
    np.testing.assert_allclose(middle(one), middle(image)[2:5])
    np.testing.assert_allclose(middle(two), middle(image)[2:5])


def test_a_pair_of_one_grid_passes_as_it_is_and_two_grids_are_refused() -> None:
    image, label = volume((6, 20, 24), PD), volume((6, 20, 24), PD)
    assert all(a is b for a, b in zip(AlignPair()(image, label), (image, label), strict=True))
    with pytest.raises(GeometryError, match="kneesynth pair"):
        AlignPair()(image, volume((5, 20, 24), PD))


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([], UsageError),
        ([[0, 0, 0]], UsageError),
        ([[0, 9, 0, 0, 0]], GeometryError),
        ([[0, 0, math.nan, 0, 0]], UsageError),
    ],
    ids=["none", "short", "not there", "not a number"],
)
def test_slices_that_cannot_be_are_refused(rows: list[list[float]], error: type[Exception]) -> None:
    with pytest.raises(error):
        AlignPair()(volume((6, 20, 24), PD), volume((6, 20, 24), PD), rows)


def test_the_dictionary_form_takes_clean_twins_along_and_the_rows_away() -> None:
    image, label = volume((6, 20, 24), PD), volume((7, 30, 26), affine((3.0, 0.6, 0.7), tuple(PD[:3, 3])))
    rows = [[k, k + 1, 0.4, 0.0, 0.0] for k in range(1, 5)]
    data = {"image": image, "label": label, "image_clean": image * 2, "label_clean": label * 3, "slices": rows}
    out = AlignPaird()(data)
    one, two = AlignPair()(image, label, rows)
    torch.testing.assert_close(out["image"], one)
    torch.testing.assert_close(out["label"], two)
    torch.testing.assert_close(out["image_clean"], one * 2)
    torch.testing.assert_close(out["label_clean"], two * 3)
    assert "slices" not in out and "slices" in data
