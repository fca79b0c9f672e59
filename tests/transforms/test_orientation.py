# SPDX-License-Identifier: Apache-2.0
"""Display orientation: nothing moves in the world, and the way back is exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from scripts.errors import GeometryError
from scripts.transforms.intensity import NormalizeMagnituded
from scripts.transforms.orientation import (
    DisplayOrientation,
    DisplayOrientationd,
    RestoreFileOrientationd,
    axis_directions,
    edge_letters,
    slice_axis,
)

ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
OBLIQUE = np.array([[0.96, -0.28, 0.0], [0.2688, 0.9216, -0.28], [0.0784, 0.2688, 0.96]])


def _affine(order: tuple[int, ...], signs: tuple[int, ...], spacing: tuple[float, ...], turn: np.ndarray) -> np.ndarray:
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    for voxel_axis, (world_axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world_axis, voxel_axis] = sign * spacing[voxel_axis]
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (11.0, -23.5, 7.25)
    return affine


def _volume(affine: np.ndarray, shape: tuple[int, int, int] = (4, 5, 3), **meta: object) -> MetaTensor:
    voxels = torch.arange(float(np.prod(shape))).reshape(1, *shape) + 1
    return MetaTensor(voxels, affine=torch.tensor(affine), meta=dict(meta))


def _places(volume: MetaTensor) -> dict[float, np.ndarray]:
    """World position of every voxel, by its value: all values differ."""
    index = np.stack(np.meshgrid(*map(np.arange, volume.shape[1:]), indexing="ij"), -1).reshape(-1, 3)
    world = index @ volume.affine.numpy()[:3, :3].T + volume.affine.numpy()[:3, 3]
    return dict(zip(volume.numpy().reshape(-1).tolist(), world, strict=True))


@pytest.mark.parametrize("turn", [np.eye(3), OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS, ids=lambda v: "".join(map(str, v)))
def test_every_voxel_keeps_its_place_and_comes_back(
    order: tuple[int, ...], signs: tuple[int, ...], turn: np.ndarray
) -> None:
    image = _volume(_affine(order, signs, (0.4, 0.5, 3.0), turn))
    transform = DisplayOrientation()
    shown = transform(image)

    before, after = _places(image), _places(shown)
    assert max(np.abs(before[value] - after[value]).max() for value in before) < 1e-9
    # What a radiologist expects: superior at the top of sagittal and coronal slices, and so on.
    directions = axis_directions(shown.affine.numpy())
    assert directions in ("LIP", "PIL", "SPL")
    assert np.argmax(np.linalg.norm(shown.affine.numpy()[:3, :3], axis=0)) == 0  # slices first

    back = transform.inverse(shown)
    assert torch.equal(back.as_tensor(), image.as_tensor())
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-12)
    assert back.applied_operations == []


def test_way_back_is_exact_where_the_axes_are_ambiguous() -> None:
    c = np.sqrt(0.5)
    turn = np.array([[c, -c, 0], [c, c, 0], [0, 0, 1]])  # 45 degrees: each in-plane axis is as near to x as to y
    for order, signs in ORIENTATIONS:
        image = _volume(_affine(order, signs, (0.5, 0.5, 3.0), turn))
        transform = DisplayOrientation()
        assert torch.equal(transform.inverse(transform(image)).as_tensor(), image.as_tensor())


@pytest.mark.parametrize(
    ("order", "edges"),
    [
        ((1, 2, 0), {"left": "A", "right": "P", "top": "H", "bottom": "F"}),
        ((0, 2, 1), {"left": "R", "right": "L", "top": "H", "bottom": "F"}),
        ((0, 1, 2), {"left": "R", "right": "L", "top": "A", "bottom": "P"}),
    ],
    ids=["sagittal", "coronal", "axial"],
)
def test_edges_are_those_of_the_reading_room(order: tuple[int, ...], edges: dict[str, str]) -> None:
    shown = DisplayOrientation()(_volume(_affine(order, (1, 1, 1), (0.4, 0.4, 3.0), np.eye(3))))
    assert edge_letters(shown.affine.numpy()) == edges


def test_slice_axis_is_the_thickest_then_the_third() -> None:
    assert slice_axis(np.diag([3.0, 0.5, 0.5, 1])) == 0
    assert slice_axis(np.diag([0.5, 0.5, 0.5, 1])) == 2
    assert slice_axis(np.diag([0.5001, 0.5, 0.5, 1])) == 2


def test_known_slice_axis_and_single_slice_win_over_spacing() -> None:
    affine = np.diag([0.9, 0.9, 0.4, 1.0])
    assert axis_directions(DisplayOrientation()(_volume(affine, slice_axis=2)).affine.numpy())[0] == "S"
    assert DisplayOrientation()(_volume(affine, shape=(4, 5, 1))).shape == (1, 1, 5, 4)


def test_invertd_undoes_a_whole_chain() -> None:
    image = _volume(_affine((2, 0, 1), (-1, 1, -1), (0.4, 3.0, 0.4), OBLIQUE))
    chain = Compose([DisplayOrientationd("image"), NormalizeMagnituded("image")])
    data = chain({"image": image})
    data["pred"] = data["image"] * 2
    data = Invertd("pred", transform=chain, orig_keys="image", nearest_interp=False)(data)
    np.testing.assert_allclose(data["pred"], image * 2, rtol=1e-5)
    np.testing.assert_allclose(data["pred"].affine, image.affine, atol=1e-12)


def test_prediction_returns_to_the_file_without_changing_its_scale() -> None:
    image = _volume(_affine((2, 0, 1), (-1, 1, -1), (0.4, 3.0, 0.4), OBLIQUE))
    data = Compose([DisplayOrientationd("image"), NormalizeMagnituded("image")])({"image": image})
    data["pred"] = data["image"].as_tensor() * 2
    peak = float(data["pred"].max())
    restored = RestoreFileOrientationd("pred", orig_keys="image")(data)["pred"]
    assert restored.shape == image.shape
    assert float(restored.max()) == pytest.approx(peak)
    np.testing.assert_allclose(restored.affine, image.affine, atol=1e-12)
    np.testing.assert_allclose(restored / restored.max(), image / image.max(), rtol=1e-6)


def test_prediction_without_a_turned_image_is_refused() -> None:
    image = _volume(np.eye(4))
    with pytest.raises(ValueError, match="need DisplayOrientationd once"):
        RestoreFileOrientationd("pred", orig_keys="image")({"image": image, "pred": image.as_tensor()})


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.diag([1.0, 1.0, 0.0, 1.0])], ids=["zero", "flat"])
def test_affine_without_directions_is_refused(affine: np.ndarray) -> None:
    with pytest.raises(GeometryError):
        axis_directions(affine)
