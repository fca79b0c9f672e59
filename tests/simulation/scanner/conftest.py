# SPDX-License-Identifier: Apache-2.0
"""A simple object to scan: a leg of fat around muscle with fluid, marrow and a vessel in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from scripts.simulation.maps import KEPT, TissueMaps
from scripts.simulation.tissue import COMPARTMENTS, INDEX, TissueTable


@pytest.fixture(scope="session")
def table() -> TissueTable:
    """The tissues of the table at 3 T, without any spread."""
    columns = ([t.t1[1] for t in COMPARTMENTS], [t.t2[1] for t in COMPARTMENTS], [t.density for t in COMPARTMENTS])
    return TissueTable(*(torch.tensor(column) for column in columns))


@pytest.fixture(scope="session")
def pack() -> Callable[[torch.Tensor], TissueMaps]:
    """A function that makes maps of compartment numbers ``(D, H, W)``: 2.5 mm by 2.5 mm, every 4 mm, isocentred."""

    def make(numbers: torch.Tensor) -> TissueMaps:
        compartment = torch.zeros(KEPT, *numbers.shape, dtype=torch.uint8)
        share = torch.zeros_like(compartment)
        compartment[0], share[0] = numbers.to(torch.uint8), 255
        affine = torch.diag(torch.tensor([4.0, 2.5, 2.5, 1.0], dtype=torch.float64))
        affine = affine[[2, 1, 0, 3]]  # slices along z, rows along y, columns along x
        middle = torch.tensor([(size - 1) / 2 for size in numbers.shape], dtype=torch.float64)
        affine[:3, 3] = -affine[:3, :3] @ middle
        empty = torch.zeros_like(numbers, dtype=torch.uint8)
        return TissueMaps(compartment, share, empty, empty, affine)

    return make


@pytest.fixture(scope="session")
def leg(pack: Callable[[torch.Tensor], TissueMaps]) -> TissueMaps:
    """Three different slices of 64 by 64."""
    row, column = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    radius, slices = (row**2 + column**2).sqrt(), []
    for number in range(3):
        what = torch.full((64, 64), INDEX["air"])
        what[radius < 26] = INDEX["subcutaneous_fat"]
        what[radius < 21 - number] = INDEX["muscle"]
        what[((row + 9) ** 2 + column**2).sqrt() < 7] = INDEX["marrow_fat"]
        what[(row.abs() < 2) & (column.abs() < 12)] = INDEX["fluid"]
        what[(row > 10) & (row < 13) & (column.abs() < 8 + number)] = INDEX["tendon"]
        what[((row - 16) ** 2 + (column - 3) ** 2).sqrt() < 1.6] = INDEX["artery"]
        slices.append(what)
    return pack(torch.stack(slices))
