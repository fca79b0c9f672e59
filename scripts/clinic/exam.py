# SPDX-License-Identifier: Apache-2.0
"""One knee in the scanner: any series of it, at any place, as the DICOM series that a scanner would write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from scripts.dicom.study import SimulatedSeries
from scripts.simulation.anatomy.knee import Knee
from scripts.simulation.anatomy.random_shapes import ShapesParameters
from scripts.simulation.implants import with_implants
from scripts.simulation.maps import TissueMaps
from scripts.simulation.preset import load_preset
from scripts.simulation.relaxation import tissue_table
from scripts.simulation.sampling import SUB_SLICES, map_stack
from scripts.simulation.scanner.acquire import acquire
from scripts.simulation.scanner.k_space import fat_shift
from scripts.simulation.scanner.motion import Motion
from scripts.simulation.scanner.scan import Scan
from scripts.simulation.stack import Stack
from scripts.simulation.study import StudyParameters, anatomy_of, draw_study

PRESET, _SHAPES = "clinical", "randomised"
_T2_ECHO_TIME, _T2_REPETITION_TIME, _T2_SPACING, _T2_TRAIN = 0.085, 4.0, 0.0106, 16
_SCOUT_SHAPE, _SCOUT_SPACING, _SCOUT_THICKNESS = (3, 96, 96), (20.0, 2.0, 2.0), 6.0
_SHORT = {"sagittal": "Sag", "coronal": "Cor", "axial": "Ax"}


@dataclass(frozen=True)
class Series:
    """A series to be written, and what it is.

    Args:
        content: voxels, geometry and header.
        role: scout, PD, PDFS or T2: what was scanned, whatever the header says.
        plane: of its slices.
    """

    content: SimulatedSeries
    role: str
    plane: str


def draw_exam(
    seed: int,
    shape: tuple[int, int, int],
    plane: str | None = None,
    field_strength: float | None = None,
    knee: bool = True,
) -> StudyParameters:
    """Draw an exam in which nothing moves of itself between the scans: who plans a clinic says what moves.

    Args:
        seed: names it.
        shape: slices, rows and columns.
        plane: drawn if None.
        field_strength: drawn if None.
        knee: else a body part that is none: random shapes.
    """
    preset = load_preset(PRESET)
    if not knee:
        preset["geometry"] = dict(preset["geometry"]) | {"random_shapes": 1.0}
        preset["shapes"] = load_preset(_SHAPES)["shapes"]
    drawn = draw_study(seed, preset, plane, shape, field_strength)
    still = {name: replace(getattr(drawn.scanner, name), motion=Motion()) for name in ("pd", "pdfs")}
    return replace(drawn, preset=PRESET, scanner=replace(drawn.scanner, **still))


def other_knee(parameters: StudyParameters) -> StudyParameters:
    """The knee of the other side of the same person: its mirror image."""
    anatomy = parameters.anatomy
    if isinstance(anatomy, ShapesParameters):
        raise ValueError("Random shapes have no side; need a knee.")
    pose = replace(anatomy.pose, left=not anatomy.pose.left)
    return replace(parameters, anatomy=replace(anatomy, pose=pose))


def t2_of(scan: Scan) -> Scan:
    """The scan with T2 weighting and without fat suppression."""
    sequence = replace(
        scan.sequence,
        echo_time=_T2_ECHO_TIME,
        repetition_time=_T2_REPETITION_TIME,
        echo_spacing=_T2_SPACING,
        echo_train_length=_T2_TRAIN,
    )
    return replace(scan, sequence=sequence, suppression=None)


class Exam:
    """One knee and one scanner.

    Args:
        parameters: what was drawn.
    """

    def __init__(self, parameters: StudyParameters) -> None:
        self.parameters = parameters
        self.stack = parameters.stack
        self._anatomy = anatomy_of(parameters)
        self._tissues = tissue_table(parameters.tissues)
        self._environment = parameters.scanner.environment
        if isinstance(self._anatomy, Knee):
            self._environment = with_implants(self._environment, self._anatomy.lesions, self._anatomy.frame)
        self._maps: dict[tuple[Stack, int], TissueMaps] = {}
        self._scans = 0

    def maps(self, stack: Stack, sub_slices: int = SUB_SLICES) -> TissueMaps:
        """The tissue on a stack; computed once."""
        if (stack, sub_slices) not in self._maps:
            self._maps[stack, sub_slices] = map_stack(self._anatomy, stack, sub_slices=sub_slices)
        return self._maps[stack, sub_slices]

    def labels(self, stack: Stack) -> Tensor:
        """Structures on a stack, uint8 ``(D, H, W)``; 0 is air."""
        return self.maps(stack).labels

    def image(self, stack: Stack, scan: Scan, sub_slices: int = SUB_SLICES, noise: bool = True) -> Tensor:
        """The magnitude of a scan, float32 ``(D, H, W)``; every call has noise of its own."""
        self._scans += 1
        seed = 16 * self.parameters.seed + self._scans
        maps = self.maps(stack, sub_slices)
        return acquire(maps, scan, self._tissues, self._environment, seed, noise=noise).magnitude

    def series(
        self,
        role: str,
        stack: Stack | None = None,
        *,
        header_lps: np.ndarray | None = None,
        description: str | None = None,
        says_suppressed: bool | None = None,
        laterality: str | None = None,
        reverse: bool = False,
        sub_slices: int = SUB_SLICES,
        header: Mapping[str, Any] | None = None,
    ) -> Series:
        """Scan one series.

        Args:
            role: PD, PDFS or T2.
            stack: where it lies in the knee; the exam's own by default.
            header_lps: affine for the header, (slice, row, column, 1) to LPS; the true one by default.
            description: of the series; what a careful technologist would write by default.
            says_suppressed: ScanOptions; the truth by default.
            laterality: as the header says it; the truth by default.
            reverse: last slice first.
            sub_slices: thin sheets averaged across each slice.
            header: see `SimulatedSeries`.
        """
        stack = stack or self.stack
        scan = self.scan_of(role)
        array = self.image(stack, scan, sub_slices).numpy()
        affine = stack.affine_lps.numpy() if header_lps is None else np.asarray(header_lps, dtype=float)
        if reverse:
            array, affine = array[::-1], reversed_affine(affine, len(array))
        content = SimulatedSeries(
            array=array,
            affine_lps=affine,
            contrast="PDFS" if role == "PDFS" else "PD",
            description=self.description(role, stack.plane) if description is None else description,
            repetition_time=scan.sequence.repetition_time,
            echo_time=scan.sequence.echo_time,
            echo_train_length=scan.sequence.echo_train_length,
            field_strength=self.parameters.field_strength,
            fat_suppressed=scan.suppression is not None if says_suppressed is None else says_suppressed,
            laterality=self.parameters.side if laterality is None else laterality,
            header={**_readout(scan), **(header or {})},
        )
        return Series(content, role, stack.plane)

    def description(self, role: str, plane: str | None = None) -> str:
        """What a careful technologist names a series."""
        name = {"PD": "PD TSE", "PDFS": "PD TSE FS", "T2": "T2 TSE"}[role]
        return f"{_SHORT[plane or self.stack.plane]} {name}"

    def scout(self, header: Mapping[str, Any] | None = None) -> Series:
        """Three coarse slices in another plane."""
        plane = "coronal" if self.stack.plane == "sagittal" else "sagittal"
        stack = Stack(plane, _SCOUT_SHAPE, _SCOUT_SPACING, _SCOUT_THICKNESS, centre=self.stack.centre)
        scan = self.parameters.scanner.pd
        content = SimulatedSeries(
            array=self.image(stack, scan, sub_slices=1).numpy(),
            affine_lps=stack.affine_lps.numpy(),
            contrast="PD",
            description="Scout",
            repetition_time=scan.sequence.repetition_time,
            echo_time=scan.sequence.echo_time,
            echo_train_length=scan.sequence.echo_train_length,
            field_strength=self.parameters.field_strength,
            fat_suppressed=False,
            localizer=True,
            laterality=self.parameters.side,
            header=dict(header or {}),
        )
        return Series(content, "scout", plane)

    def fat_displacement(self) -> float:
        """By how much fat lies beside water on PD, along the readout [pixels]: no map between series knows it."""
        readout = self.parameters.scanner.pd.readout
        return fat_shift(readout, self.parameters.field_strength, self.stack.shape[readout.axis])

    def scan_of(self, role: str) -> Scan:
        """How PD, PDFS or T2 of this exam is scanned."""
        scanner = self.parameters.scanner
        return {"PD": scanner.pd, "PDFS": scanner.pdfs, "T2": t2_of(scanner.pd)}[role]


def _readout(scan: Scan) -> dict[str, Any]:
    """What scanners write of the readout: its direction and bandwidth, but not its polarity."""
    direction = "COL" if scan.readout.axis == -1 else "ROW"  # that of the phase encoding
    return {"PixelBandwidth": round(scan.readout.bandwidth, 3), "InPlanePhaseEncodingDirection": direction}


def reversed_affine(affine: np.ndarray, slices: int) -> np.ndarray:
    """The affine of a stack whose slices are stored in reverse order."""
    turned = np.array(affine, dtype=float)
    turned[:3, 3] += (slices - 1) * affine[:3, 0]
    turned[:3, 0] *= -1
    return turned
