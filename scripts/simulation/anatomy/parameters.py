# SPDX-License-Identifier: Apache-2.0
"""What tells one simulated knee from another."""

from __future__ import annotations

from dataclasses import dataclass, field

from scripts.simulation.anatomy.frame import Pose
from scripts.simulation.anatomy.joint import JointShape, draw_joint_shape
from scripts.simulation.ranges import Ranges


@dataclass(frozen=True)
class KneeParameters:
    """Everything that tells one simulated knee from another, lesions apart.

    Args:
        seed: of deformation and textures.
        pose: position, size, side, flexion.
        joint: proportions of the joint itself.
        fat_thickness: subcutaneous fat at the lateral side of the joint [mm].
        fat_septa: strength of the septa in fat, 1 usual.
        muscle_bulk: girth of the muscles relative to the average leg.
        muscle_fat: share of fat streaked through muscle, 0..1 (about .03 healthy, .3 wasted).
        fluid: amount of joint fluid; 1 physiological, 3 a clear effusion.
        red_marrow: share of the metaphyses' marrow that is red, 0..1.
        marrow_texture: strength of the trabecular texture, 1 usual.
        vascularity: number and size of small vessels, 1 usual.
    """

    seed: int
    pose: Pose
    joint: JointShape = field(default_factory=JointShape)
    fat_thickness: float = 6.0
    fat_septa: float = 1.0
    muscle_bulk: float = 1.0
    muscle_fat: float = 0.03
    fluid: float = 1.0
    red_marrow: float = 0.0
    marrow_texture: float = 1.0
    vascularity: float = 1.0


def draw_knee(ranges: Ranges, seed: int) -> KneeParameters:
    """Draw one knee from the section ``knee`` of a preset.

    Args:
        ranges: the section.
        seed: of deformation and textures.
    """
    size = ranges.value("size")
    pose = Pose(
        scale=tuple(size * (1 + ranges.value("proportion")) for _ in range(3)),  # type: ignore[arg-type]
        left=ranges.uniform() < 0.5,
        flexion=ranges.value("flexion"),
        tilt=tuple(ranges.value("tilt") for _ in range(3)),  # type: ignore[arg-type]
        shift=tuple(ranges.value("shift") for _ in range(3)),  # type: ignore[arg-type]
        bend=ranges.value("bend"),
    )
    return KneeParameters(
        seed=seed,
        pose=pose,
        joint=draw_joint_shape(ranges.section("joint")),
        fluid=ranges.value("fluid"),
        red_marrow=ranges.value("red_marrow") if ranges.happens("red_marrow_chance") else 0.0,
        **{name: ranges.value(name) for name in _PLAIN},
    )


_PLAIN = (
    "fat_thickness", "fat_septa", "muscle_bulk", "muscle_fat", "marrow_texture", "vascularity",
)  # fmt: skip
