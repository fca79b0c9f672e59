# SPDX-License-Identifier: Apache-2.0
"""Every limit of the pairing, in one place; a manifest names them and their hash."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

VERSION = 3
"""Of the method: raised with any change that alters a transform or a verdict, so that no old result passes for new."""


@dataclass(frozen=True)
class Settings:
    """Limits of the pairing. Lengths in mm, angles in rad, unless a name says otherwise.

    Args:
        search_mm: pixel of the images in which slices are looked for.
        search_reach: farthest shift within the slice that is looked for.
        search_slices: farthest displacement along the normal that is looked for [slices].
        far_reach: the same reach where frames of reference differ, about equal middles.
        least_agreement: share of slices that, each for itself, lie best where all together do; unrelated knees: .2-.5.
        least_lift: how far the common place stands out of each slice's surroundings [standard deviations], lower
            quartile over slices; unrelated knees: 2.6 at most.
        other_agreement: below it the anatomy is another one, between it and the limit above nothing is sure.
        kept_distance: farthest distance of partner slices along the normal [of the larger slice distance].
        least_slices: fewest slices that a pair keeps.
        largest_tilt: angle between the normals of the two stacks.
        bound_px: largest shift of the registration [pixels of PD], beyond the offset between frames.
        bound_angle: largest turn.
        slice_bound_px: farthest that one slice may leave the volume's place [pixels of PD].
        residual_px: largest median of the residual shift [pixels of PD].
        fat_contrast: least ratio of (fat under the skin over muscle) on PD and on PDFS.
        outlier_z: robust z within the plane below which a pair is out of its cohort.
        shares: of training, validation and test.
    """

    search_mm: float = 1.0
    search_reach: float = 16.0
    search_slices: float = 3.2
    far_reach: float = 30.0
    least_agreement: float = 0.7
    least_lift: float = 3.3
    other_agreement: float = 0.6
    kept_distance: float = 0.55
    least_slices: int = 5
    largest_tilt: float = math.radians(5)
    bound_px: float = 12.0
    bound_angle: float = math.radians(5)
    slice_bound_px: float = 2.0
    residual_px: float = 1.5
    fat_contrast: float = 1.25
    outlier_z: float = -5.0
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)

    def fingerprint(self) -> str:
        """What a measurement depends on, as a hash."""
        content = {"version": VERSION, **asdict(self)}
        for later in ("outlier_z", "shares"):  # decided over all pairs, after they were measured
            content.pop(later)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
