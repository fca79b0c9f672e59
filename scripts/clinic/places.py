# SPDX-License-Identifier: Apache-2.0
"""Where stacks lie in a knee that moved, and the exact map from one image to another that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scripts.clinic.plan import Displacement
from scripts.simulation.stack import Stack

_MATRIX = 256
_STILL = tuple(map(tuple, np.eye(4).tolist()))


@dataclass(frozen=True)
class MovedStack(Stack):
    """A stack after a rigid motion.

    Args:
        motion: of positions in LPS [mm], four rows of four.
    """

    motion: tuple[tuple[float, ...], ...] = _STILL

    @property
    def affine_lps(self) -> Tensor:
        """Index (slice, row, column, 1) to position [mm] after the motion, float64 ``(4, 4)``."""
        return torch.tensor(self.motion, dtype=torch.float64) @ super().affine_lps


def moved(stack: Stack, motion: np.ndarray) -> MovedStack:
    """A stack after a (further) rigid motion ``(4, 4)``."""
    former = np.array(stack.motion) if isinstance(stack, MovedStack) else np.eye(4)
    fields = {name: getattr(stack, name) for name in Stack.__dataclass_fields__}
    return MovedStack(**fields, motion=tuple(map(tuple, (motion @ former).tolist())))


def motion_of(stack: Stack, by: Displacement) -> np.ndarray:
    """A displacement within a stack as a rigid motion of positions in LPS [mm], float64 ``(4, 4)``.

    The turn is about the normal through the middle of the stack, and comes first.
    """
    affine = stack.affine_lps.numpy()
    slices, rows, columns = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in range(3))
    pixel = [stack.spacing[axis] * stack.shape[axis] / _MATRIX for axis in (1, 2)]
    shift = by.rows * pixel[0] * rows + by.columns * pixel[1] * columns + by.slices * stack.spacing[0] * slices
    basis = np.stack((columns, rows, slices), axis=1)
    cosine, sine = np.cos(by.angle), np.sin(by.angle)
    turn = basis @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ basis.T
    middle = affine @ [*((np.array(stack.shape) - 1) / 2), 1]
    motion = np.eye(4)
    motion[:3, :3] = turn
    motion[:3, 3] = middle[:3] - turn @ middle[:3] + shift
    return motion


def with_grid(stack: Stack, matrix: float = 1.0, field_of_view: float = 1.0, slices: int = 0) -> Stack:
    """A stack about the same middle with another grid.

    Args:
        stack: the former one.
        matrix: factor on rows and columns, which are rounded to even numbers.
        field_of_view: factor on its size within the slice.
        slices: how many more (or less).
    """
    rows, columns = (2 * round(size * matrix / 2) for size in stack.shape[1:])
    row, column = (
        spacing * size * field_of_view / new
        for spacing, size, new in zip(stack.spacing[1:], stack.shape[1:], (rows, columns), strict=True)
    )
    return replace(stack, shape=(stack.shape[0] + slices, rows, columns), spacing=(stack.spacing[0], row, column))


def label_to_image(header_lps: np.ndarray, true_lps: np.ndarray) -> np.ndarray:
    """From a position by the header of a series to the place in the knee as it lay in the other series, ``(4, 4)``.

    Args:
        header_lps: affine that the header gives.
        true_lps: affine by which the series lies in the knee, at rest as in the other series.
    """
    return np.asarray(true_lps) @ np.linalg.inv(np.asarray(header_lps))
