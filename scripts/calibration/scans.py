# SPDX-License-Identifier: Apache-2.0
"""Simulated scans that the gate's limits are found on: sound ones, and the same knees with one artefact of a grade."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scripts.simulation.anatomy.knee import Knee
from scripts.simulation.implants import with_implants
from scripts.simulation.pathology.base import LesionParameters
from scripts.simulation.relaxation import tissue_table
from scripts.simulation.sampling import map_stack
from scripts.simulation.scanner.acquire import acquire
from scripts.simulation.scanner.scan import Scan
from scripts.simulation.study import CONTRASTS, StudyParameters, anatomy_of, draw_study

SHAPE = (16, 224, 224)
PLANES = ("sagittal", "coronal", "axial")

NOISE = (12.0, 6.0, 3.0, 1.5)
"""Signal of muscle at the isocentre over the standard deviation of the noise."""
GHOSTS = (0.05, 0.1, 0.2, 0.4)
"""Standard deviation of the phase between excitations [rad]."""
JUMPS = (0.5, 1.0, 2.0, 4.0)
"""Distance [mm] by which every other slice lies beside its place, as when an interleaved scan is disturbed."""
METAL = (3.0, 6.0, 9.0)
"""Size of titanium screws and staples [mm]."""
STRONGER = 5.0
"""Susceptibility of cobalt-chromium over that of titanium: 900 against 182 ppm (Schenck, Med Phys 1996;23:815)."""

SOUND, DRAWN, TRAINING = "none", "as drawn", "training"


@dataclass(frozen=True)
class SimulatedScan:
    """One stack.

    Args:
        seed: of the knee.
        plane: of the slices.
        contrast: PD or PDFS.
        artefact: what is wrong with it: none, as drawn (a clinical scan as it comes), training (drawn from the preset
            of the training data), noise, ghosts, jumps, titanium or cobalt-chromium.
        grade: of the artefact, see the constants of this module; 0 where it has none.
        volume: magnitudes ``(slices, rows, columns)``, any scale.
        spacing_mm: between slices, rows and columns.
    """

    seed: int
    plane: str
    contrast: str
    artefact: str
    grade: float
    volume: Tensor
    spacing_mm: tuple[float, float, float]


def sound_scans(seed: int, plane: str, shape: tuple[int, int, int] = SHAPE) -> Iterator[SimulatedScan]:
    """PD and PDFS of a clinical knee: without metal and phase errors, and as drawn."""
    parameters = draw_study(seed, "clinical", plane, shape)
    without_metal = replace(parameters, lesions=tuple(one for one in parameters.lesions if one.name != "metal"))
    bench = _Bench(without_metal)
    for which in (0, 1):
        drawn = parameters.scans[which]
        sound = _without_phase_error(drawn)
        found = bench.scan(which, sound, SOUND)
        yield found
        if parameters == without_metal:
            yield replace(found, artefact=DRAWN) if drawn == sound else bench.scan(which, drawn, DRAWN)
    if parameters != without_metal:
        bench = _Bench(parameters)
        yield from (bench.scan(which, parameters.scans[which], DRAWN) for which in (0, 1))


def disturbed_scans(seed: int, plane: str, shape: tuple[int, int, int] = SHAPE) -> Iterator[SimulatedScan]:
    """PD and PDFS of the knee of `sound_scans`, with each artefact alone in each grade."""
    parameters = draw_study(seed, "clinical", plane, shape)
    others = tuple(one for one in parameters.lesions if one.name != "metal")
    bench = _Bench(replace(parameters, lesions=others))
    scans = [_without_phase_error(scan) for scan in parameters.scans]
    for which, scan in enumerate(scans):
        for snr in NOISE:
            yield bench.scan(which, replace(scan, noise=replace(scan.noise, snr=snr)), "noise", snr)
        for error in GHOSTS:
            ghosts = replace(scan.ghosts, phase_error=error, seed=seed)
            yield bench.scan(which, replace(scan, ghosts=ghosts), "ghosts", error)
        sound = bench.scan(which, scan, SOUND)
        for distance in JUMPS:
            yield replace(sound, volume=_jumping(sound, distance), artefact="jumps", grade=distance)
    places = ("cruciate_screws", "tibial_staple", "tibial_plateau_screws")
    for number, size in enumerate(METAL):
        metal = LesionParameters("metal", places[(seed + number) % len(places)], size, 1.0, seed)
        bench = _Bench(replace(parameters, lesions=(*others, metal)))
        yield from (bench.scan(which, scan, "titanium", size) for which, scan in enumerate(scans))
        if size == METAL[-1]:
            bench.strengthen(STRONGER)
            yield from (bench.scan(which, scan, "cobalt-chromium", size) for which, scan in enumerate(scans))


def training_scans(seed: int, shape: tuple[int, int, int] = SHAPE) -> Iterator[SimulatedScan]:
    """PD and PDFS of a stack as the training data are drawn, random shapes left out."""
    parameters = draw_study(seed, "randomised", None, shape)
    if not isinstance(anatomy_of(parameters), Knee):
        return
    bench = _Bench(parameters)
    yield from (bench.scan(which, parameters.scans[which], TRAINING) for which in (0, 1))


class _Bench:
    """A knee in place, to be scanned again and again."""

    def __init__(self, parameters: StudyParameters) -> None:
        anatomy = anatomy_of(parameters)
        self.parameters = parameters
        self.maps = map_stack(anatomy, parameters.stack)
        self.tissues = tissue_table(parameters.tissues)
        self.environment = parameters.scanner.environment
        if isinstance(anatomy, Knee):
            self.environment = with_implants(self.environment, anatomy.lesions, anatomy.frame)

    def strengthen(self, factor: float) -> None:
        """Let the metal disturb the field more."""
        dipoles = tuple(replace(one, height=one.height * factor) for one in self.environment.field.dipoles)
        self.environment = replace(self.environment, field=replace(self.environment.field, dipoles=dipoles))

    def scan(self, which: int, scan: Scan, artefact: str, grade: float = 0.0) -> SimulatedScan:
        seed = 2 * self.parameters.seed + which
        seen = acquire(self.maps, scan, self.tissues, self.environment, seed)
        between, row, column = self.parameters.stack.spacing
        return SimulatedScan(
            seed=self.parameters.seed,
            plane=self.parameters.stack.plane,
            contrast=CONTRASTS[which],
            artefact=artefact,
            grade=grade,
            volume=seen.magnitude,
            spacing_mm=(between, row, column),
        )


def _without_phase_error(scan: Scan) -> Scan:
    return replace(scan, ghosts=replace(scan.ghosts, phase_error=0.0))


def _jumping(scan: SimulatedScan, distance: float) -> Tensor:
    """Every other slice moved by ``distance`` [mm], in a direction that the seed names."""
    angle = 2.4 * scan.seed  # any direction
    moved = scan.volume.clone()
    rows, columns = moved.shape[1:]
    down = distance * math.sin(angle) / scan.spacing_mm[1] * torch.fft.fftfreq(rows)
    across = distance * math.cos(angle) / scan.spacing_mm[2] * torch.fft.fftfreq(columns)
    turn = torch.polar(torch.ones(rows, columns), -2 * math.pi * (down[:, None] + across))
    moved[1::2] = torch.fft.ifft2(torch.fft.fft2(moved[1::2]) * turn).abs()
    return moved
