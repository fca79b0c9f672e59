# SPDX-License-Identifier: Apache-2.0
"""From the scanner's coordinates to those of the standard knee: pose, size, side, flexion and smooth deformation.

The standard knee is a right one of average size in extension. Its axes, in mm: x to the lateral side, y to the back,
z to the head; the origin lies between the tibial spines.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.simulation.anatomy.fields import RandomField

JOINT_AXIS = (8.0, 16.0)
"""Where the flexion axis passes, (y, z) [mm]: behind and above the tibial spines, through the condyles."""
_BEND_CELLS = (38.0, 14.0)
_BEND_HEIGHTS = (1.5, 0.45)


@dataclass(frozen=True)
class Pose:
    """How one knee lies in the scanner and what its proportions are.

    Args:
        scale: size along x, y, z relative to the average knee.
        left: a left knee.
        flexion: bend of the lower leg [rad], 0 straight.
        tilt: rotation about the scanner's x, y, z [rad].
        shift: position of the joint in the scanner, LPS [mm].
        bend: strength of the smooth deformation, 1 usual, 0 none.
    """

    scale: tuple[float, float, float]
    left: bool
    flexion: float
    tilt: tuple[float, float, float]
    shift: tuple[float, float, float]
    bend: float = 1.0


class Frame:
    """Maps points between the scanner and the standard knee.

    Args:
        pose: the drawn pose.
        generator: the source of the deformation (CPU).
    """

    def __init__(self, pose: Pose, generator: torch.Generator) -> None:
        self.pose = pose
        self._field = RandomField(generator, nodes=8, channels=3, smooth=True)
        self._turn = _rotation(pose.tilt)

    def to_knee(self, points: Tensor) -> Tensor:
        """LPS ``(3, ...)`` [mm] to the standard knee ``(3, ...)`` [mm]."""
        pose = self.pose
        shape = (3, *([1] * (points.ndim - 1)))
        offset = torch.tensor(pose.shift, device=points.device).view(shape)
        local = torch.tensordot(self._turn.T.to(points.device), points - offset, dims=1)
        side = 1.0 if pose.left else -1.0  # LPS x grows to the patient's left: lateral for a left knee
        stretch = torch.tensor((side / pose.scale[0], 1 / pose.scale[1], 1 / pose.scale[2]), device=points.device)
        local = local * stretch.view(shape)
        for cell, height in zip(_BEND_CELLS, _BEND_HEIGHTS, strict=True):
            local = local + pose.bend * height * self._field(local + 3 * cell, (cell,) * 3)
        # The lower leg turns about an axis through the condyles; the turn fades in over the joint.
        angle = pose.flexion * torch.sigmoid((6 - local[2]) / 7)
        y, z = local[1] - JOINT_AXIS[0], local[2] - JOINT_AXIS[1]
        cos, sin = angle.cos(), angle.sin()
        return torch.stack((local[0], JOINT_AXIS[0] + y * cos + z * sin, JOINT_AXIS[1] - y * sin + z * cos))

    def to_scanner(self, points: Tensor, steps: int = 20) -> Tensor:
        """The standard knee ``(3, ...)`` to LPS, by fixed-point iteration, to about .01 mm."""
        shape = (3, *([1] * (points.ndim - 1)))
        side = 1.0 if self.pose.left else -1.0
        stretch = torch.tensor((side * self.pose.scale[0], self.pose.scale[1], self.pose.scale[2])).view(shape)
        offset = torch.tensor(self.pose.shift).view(shape)
        guess = torch.tensordot(self._turn, points * stretch, dims=1) + offset
        for _ in range(steps):
            wrong = points - self.to_knee(guess)
            guess = guess + torch.tensordot(self._turn, wrong * stretch, dims=1)
        return guess


def _rotation(angles: tuple[float, float, float]) -> Tensor:
    """Rotation matrix of turns about x, then y, then z [rad]."""
    a, b, c = (torch.tensor(angle) for angle in angles)
    one, zero = torch.ones(()), torch.zeros(())
    about_x = torch.stack((one, zero, zero, zero, a.cos(), -a.sin(), zero, a.sin(), a.cos())).view(3, 3)
    about_y = torch.stack((b.cos(), zero, b.sin(), zero, one, zero, -b.sin(), zero, b.cos())).view(3, 3)
    about_z = torch.stack((c.cos(), -c.sin(), zero, c.sin(), c.cos(), zero, zero, zero, one)).view(3, 3)
    return about_z @ about_y @ about_x
