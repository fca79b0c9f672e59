# SPDX-License-Identifier: Apache-2.0
"""What differs from joint to joint beyond size and smooth deformation."""

from __future__ import annotations

from dataclasses import dataclass, fields

from scripts.simulation.ranges import Ranges


@dataclass(frozen=True)
class JointShape:
    """Shape of one joint, relative to the standard knee.

    Args:
        trochlear_depth: height of the trochlear ridges over the groove, times the standard.
        notch_width: added to the width of the intercondylar notch [mm].
        patella_height: shift of the patella upwards [mm].
        cartilage: thickness of all cartilage, times the standard.
        meniscus_width: width of both menisci, times the standard.
    """

    trochlear_depth: float = 1.0
    notch_width: float = 0.0
    patella_height: float = 0.0
    cartilage: float = 1.0
    meniscus_width: float = 1.0


STANDARD = JointShape()


def draw_joint_shape(ranges: Ranges) -> JointShape:
    """Draw a joint from a section that names each field of `JointShape`."""
    return JointShape(**{field.name: ranges.value(field.name) for field in fields(JointShape)})
