# SPDX-License-Identifier: Apache-2.0
"""What a diagnosis may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Kind(str, Enum):
    """The verdicts."""

    HEALTHY = "healthy"
    ENCODER = "encoder"
    DECODER = "decoder"
    SKIPS = "skip dependency"
    RECON = "recon dominance"
    COLLAPSED = "collapsed latent"
    UNPAIRED = "not truly paired"
    CAPACITY = "capacity"
    EARLY = "too early to tell"


@dataclass(frozen=True)
class Verdict:
    """What is wrong, why, and what mends it.

    Args:
        kind: the verdict.
        sentence: the verdict as one plain sentence.
        reasons: the evidence for it, one sentence each.
        mend: what to do, as one sentence; empty where there is nothing to do.
        settings: what to set in the config, by the keys that ``kneesynth train`` takes; an overlay as it stands.
        sure: whether the evidence proves the fault by itself; else it is the best explanation of failing losses.
    """

    kind: Kind
    sentence: str
    reasons: tuple[str, ...] = ()
    mend: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    sure: bool = True

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong."""
        return self.kind not in (Kind.HEALTHY, Kind.EARLY)
