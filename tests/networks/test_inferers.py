# SPDX-License-Identifier: Apache-2.0
"""A stack is synthesised slice by slice, whatever the batch."""

from __future__ import annotations

import pytest
import torch

from scripts.inferers import SliceStackInferer


def network(x: torch.Tensor, target: int) -> torch.Tensor:
    return x * (2 if target else 3)


def stack(volumes: int = 2) -> torch.Tensor:
    return torch.rand(volumes, 1, 5, 6, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize(("target", "factor"), [("PDFS", 2), ("PD", 3)])
def test_each_slice_lands_in_its_place(batch_size: int, target: str, factor: int) -> None:
    infer = SliceStackInferer(["PD", "PDFS"], batch_size=batch_size, autocast=False)
    torch.testing.assert_close(infer(stack(), network, target=target), factor * stack())


def test_the_constructors_target_holds_without_another() -> None:
    infer = SliceStackInferer(["PD", "PDFS"], target="PD", autocast=False)
    torch.testing.assert_close(infer(stack(), network), 3 * stack())


def test_a_magnitude_is_never_negative() -> None:
    infer = SliceStackInferer(["PD", "PDFS"], autocast=False)
    assert float(infer(stack(), lambda x, target: x - 0.5).min()) == 0


def test_progress_ends_at_the_last_slice() -> None:
    seen: list[int] = []
    SliceStackInferer(["PD", "PDFS"], batch_size=3, autocast=False, progress=seen.append)(stack(1), network)
    assert seen == [3, 5]


def test_unknown_targets_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="need one of PD, PDFS"):
        SliceStackInferer(["PD", "PDFS"], target="T2")
    with pytest.raises(ValueError, match="slices, rows, columns"):
        SliceStackInferer(["PD", "PDFS"])(torch.zeros(1, 5, 6, 7), network)


def rings(side: int) -> torch.Tensor:
    """A smooth pattern that any grid over the same field of view can show."""
    axis = (torch.arange(side) + 0.5) / side
    image = 1 + torch.cos(3 * axis)[:, None] * torch.sin(2.5 * axis + 1)[None]
    return image.expand(1, 1, 3, side, side).clone()


@pytest.mark.parametrize(("side", "seen"), [(16, 32), (20, 40), (24, 40), (40, 40), (50, 50)])
def test_small_slices_are_magnified_for_the_network_alone(side: int, seen: int) -> None:
    sizes = []

    def look(x: torch.Tensor, target: int) -> torch.Tensor:
        sizes.append(tuple(x.shape[2:]))
        return 2 * x

    given = rings(side)
    made = SliceStackInferer(["PD", "PDFS"], least_side=40, autocast=False)(given, look)
    assert set(sizes) == {(seen, seen)}
    assert made.shape == given.shape
    # In place: a shift of an eighth of a pixel would be further off.
    inside = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(made[inside], 2 * given[inside], atol=0.01, rtol=0)
    moved = 2 * torch.nn.functional.interpolate(given[0], size=(4 * side, 4 * side), mode="bicubic")[:, :, 1::4, 1::4]
    assert (moved[0][..., 3:-3, 3:-3] - 2 * given[0, 0][..., 3:-3, 3:-3]).abs().max() > 0.015


def test_the_longer_side_grows_along() -> None:
    sizes = []

    def look(x: torch.Tensor, target: int) -> torch.Tensor:
        sizes.append(tuple(x.shape[2:]))
        return x

    SliceStackInferer(["PD", "PDFS"], least_side=30, autocast=False)(torch.rand(1, 1, 2, 20, 32), look)
    assert sizes == [(30, 48)]
