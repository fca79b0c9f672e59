# SPDX-License-Identifier: Apache-2.0
"""An anatomy on a grid keeps its volumes, its place and its thickness."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from scripts.simulation.anatomy.canvas import Canvas, Sample
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.maps import KEPT, map_tissues, slice_profile
from scripts.simulation.stack import PLANES, Stack
from scripts.simulation.tissue import COMPARTMENTS, INDEX


@dataclass(frozen=True)
class Slab:
    """Muscle where one coordinate is below a height [mm], fat elsewhere."""

    axis: int
    height: float = 0.0
    edge: float | None = None

    def sample(self, points: torch.Tensor, edge: float) -> Sample:
        canvas = Canvas(points[0], self.edge or edge)
        canvas.lay("muscle", points[self.axis] - self.height, {"muscle": 1.0})
        canvas.put("subcutaneous_fat", torch.ones_like(points[0]), {"subcutaneous_fat": 1.0})
        return canvas.finish()


class Mixture:
    """Every compartment everywhere, in falling shares."""

    def sample(self, points: torch.Tensor, edge: float) -> Sample:
        parts = 0.5 ** torch.arange(1, len(COMPARTMENTS) + 1).float()
        shares = (parts / parts.sum()).view(-1, *[1] * (points.ndim - 1)).expand(-1, *points.shape[1:])
        zeros = torch.zeros_like(points[0])
        return Sample(shares, zeros.to(torch.uint8), zeros)


@pytest.mark.parametrize("plane", PLANES)
def test_a_voxel_holds_what_lies_at_its_position(plane: str) -> None:
    stack = Stack(plane, (6, 24, 20), (3.5, 0.9, 0.8), 3.0, (0.05, -0.04), (4.0, -3.0, 2.0))
    maps = map_tissues(Slab(2, 3.0), stack.affine_lps, stack.shape, stack.thickness, 1)
    index = torch.stack(
        torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in stack.shape), indexing="ij")
    )
    height = torch.tensordot(stack.affine_lps[:3, :3], index, dims=1)[2] + stack.affine_lps[2, 3]
    far = (height - 3.0).abs() > 1.0  # beyond the boundary's own width
    assert torch.equal((maps.labels == LABEL["muscle"])[far], (height < 3.0)[far])


def test_a_slice_averages_over_its_thickness() -> None:
    # An axial slice of 4 mm whose upper third is fat: one thin sheet sees none of it, several see about a third.
    stack = Stack("axial", (1, 16, 16), (4.0, 1.0, 1.0), 4.0)
    thin, thick = (map_tissues(Slab(2, 0.7, 0.01), stack.affine_lps, (1, 16, 16), 4.0, count) for count in (1, 15))
    fat = [float(maps.dense(0)[INDEX["subcutaneous_fat"]].mean()) for maps in (thin, thick)]
    assert fat[0] == 0
    assert 0.25 < fat[1] < 0.45


def test_shares_are_a_whole_and_packing_loses_little() -> None:
    maps = map_tissues(Mixture(), torch.eye(4), (2, 16, 16), 1.0, 2)
    assert maps.share.dtype == maps.compartment.dtype == torch.uint8
    assert maps.share.shape == (KEPT, 2, 16, 16)
    dense = maps.dense(slice(None))
    torch.testing.assert_close(dense.sum(0), torch.ones(2, 16, 16))
    truth = Mixture().sample(torch.zeros(3, 1), 1.0).shares[:, 0]
    assert float((dense[:, 0, 0, 0] - truth).abs().max()) < 0.02  # 1/32 of the volume is in compartments not kept


def test_one_slice_is_the_same_alone_and_in_its_stack() -> None:
    maps = map_tissues(Slab(0), Stack("axial", (3, 16, 16), (3.0, 1, 1), 3.0).affine_lps, (3, 16, 16), 3.0)
    torch.testing.assert_close(maps.dense(1), maps.dense(slice(None))[:, 1])


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_the_slice_profile_is_symmetric_and_whole(count: int) -> None:
    offsets, weights = slice_profile(count)
    assert sum(weights) == pytest.approx(1)
    assert sum(o * w for o, w in zip(offsets, weights, strict=True)) == pytest.approx(0, abs=1e-12)
    assert max(abs(o) for o in offsets) < 0.75


def test_the_profile_is_half_as_high_at_half_a_thickness() -> None:
    offsets, weights = slice_profile(601)
    middle = max(weights)
    half = min(zip(offsets, weights, strict=True), key=lambda pair: abs(pair[0] - 0.5))[1]
    assert half / middle == pytest.approx(0.5, abs=0.01)


def test_a_slice_of_no_sheets_is_refused() -> None:
    with pytest.raises(ValueError, match="need at least 1"):
        slice_profile(0)
