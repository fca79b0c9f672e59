# SPDX-License-Identifier: Apache-2.0
"""What is drawn of a scanner: two scans and what surrounds the knee."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from scripts.simulation.scanner.coil import Coil
from scripts.simulation.scanner.field import Field
from scripts.simulation.scanner.ghosts import Ghosts
from scripts.simulation.scanner.k_space import Readout
from scripts.simulation.scanner.motion import Motion
from scripts.simulation.scanner.noise import Noise
from scripts.simulation.scanner.vendor import Vendor
from scripts.simulation.signal import FatSuppression, Sequence


@dataclass(frozen=True)
class Scan:
    """One scan.

    Args:
        sequence: the TSE's times.
        suppression: the fat-suppression pulse, None for PD.
        readout: how k-space is sampled.
        noise: its level.
        ghosts: what differs between excitations.
        motion: how it lies from the study's grid.
        vendor: image processing.
    """

    sequence: Sequence
    suppression: FatSuppression | None
    readout: Readout
    noise: Noise
    ghosts: Ghosts = dataclasses.field(default_factory=Ghosts)
    motion: Motion = dataclasses.field(default_factory=Motion)
    vendor: Vendor = dataclasses.field(default_factory=Vendor)


@dataclass(frozen=True)
class Environment:
    """What both scans of a study share.

    Args:
        field_strength: static field [T].
        coil: the receive coil.
        field: errors of the static and of the transmit field.
    """

    field_strength: float
    coil: Coil = dataclasses.field(default_factory=Coil)
    field: Field = dataclasses.field(default_factory=Field)

    def __post_init__(self) -> None:
        if self.field_strength <= 0:
            raise ValueError(f"A field of {self.field_strength:g} T cannot image; need more than zero.")


@dataclass(frozen=True)
class ScannerParameters:
    """All that is drawn of the scanner of one study."""

    environment: Environment
    pd: Scan
    pdfs: Scan
