# SPDX-License-Identifier: Apache-2.0
"""Single slices of simulated studies: what the contact sheets show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from scripts.simulation.anatomy.knee import Knee
from scripts.simulation.pathology.base import LocalLesion
from scripts.simulation.scanner.coil import Coil
from scripts.simulation.scanner.field import Field
from scripts.simulation.scanner.ghosts import Ghosts
from scripts.simulation.scanner.motion import Motion
from scripts.simulation.scanner.scan import ScannerParameters
from scripts.simulation.scanner.vendor import Vendor
from scripts.simulation.study import Study, StudyParameters, anatomy_of, simulate_study

SUB_SLICES = 4
"""Sheets per slice: pictures are looked at closely."""


def one_slice(parameters: StudyParameters, offset: float = 0.0) -> Study:
    """Scan a single slice of a study.

    Args:
        parameters: of the study.
        offset: of the slice from the middle of the stack, along the slice normal [mm].
    """
    stack = parameters.stack
    normal = stack.affine_lps[:3, 0] / stack.affine_lps[:3, 0].norm()
    x, y, z = (torch.tensor(stack.centre, dtype=torch.float64) + offset * normal).tolist()
    only = replace(stack, shape=(1, *stack.shape[1:]), centre=(x, y, z))
    return simulate_study(replace(parameters, stack=only), sub_slices=SUB_SLICES)


def lesion_place(parameters: StudyParameters) -> tuple[float, int, int]:
    """Where the study's last lesion lies: from the middle of the stack along the slice normal [mm], row and column.

    Raises:
        ValueError: for a study without a lesion that has a place.
    """
    anatomy = anatomy_of(parameters)
    placed = [one for one in getattr(anatomy, "lesions", ()) if isinstance(one, LocalLesion)]
    if not isinstance(anatomy, Knee) or not placed:
        raise ValueError("The study has no lesion with a place.")
    centre = torch.tensor(placed[-1].centre)[:, None]
    at = anatomy.frame.to_scanner(centre)[:, 0].double()
    affine, shape = parameters.stack.affine_lps, parameters.stack.shape
    index, row, column = torch.linalg.solve(affine[:3, :3], at - affine[:3, 3]).tolist()
    offset = (index - (shape[0] - 1) / 2) * float(affine[:3, 0].norm())
    return offset, min(max(round(row), 0), shape[1] - 1), min(max(round(column), 0), shape[2] - 1)


Change = Callable[[ScannerParameters], ScannerParameters]


def _both(scanner: ScannerParameters, **changes: object) -> ScannerParameters:
    pd, pdfs = (replace(scan, **changes) for scan in (scanner.pd, scanner.pdfs))  # type: ignore[arg-type]
    return replace(scanner, pd=pd, pdfs=pdfs)


def _readout(scanner: ScannerParameters, **changes: object) -> ScannerParameters:
    pd, pdfs = (
        replace(scan, readout=replace(scan.readout, **changes))  # type: ignore[arg-type]
        for scan in (scanner.pd, scanner.pdfs)
    )
    return replace(scanner, pd=pd, pdfs=pdfs)


def _environment(scanner: ScannerParameters, **changes: object) -> ScannerParameters:
    return replace(scanner, environment=replace(scanner.environment, **changes))  # type: ignore[arg-type]


def _field(scanner: ScannerParameters, **changes: object) -> ScannerParameters:
    return _environment(scanner, field=replace(Field(), **changes))  # type: ignore[arg-type]


def _train(scanner: ScannerParameters, length: int, spacing: float) -> ScannerParameters:
    pd, pdfs = (
        replace(scan, sequence=replace(scan.sequence, echo_train_length=length, echo_spacing=spacing))
        for scan in (scanner.pd, scanner.pdfs)
    )
    return replace(scanner, pd=pd, pdfs=pdfs)


def plain(scanner: ScannerParameters) -> ScannerParameters:
    """The same sequences and coil without noise to speak of, field errors, ghosts, motion or processing."""
    still = _both(_field(scanner), ghosts=Ghosts(), motion=Motion(), vendor=Vendor())
    still = _readout(still, matrix=(1.0, 1.0), partial_fourier=1.0, window=0.0, elliptical=False, bandwidth=2000.0)
    pd, pdfs = (replace(scan, noise=replace(scan.noise, snr=200.0)) for scan in (still.pd, still.pdfs))
    return replace(still, pd=pd, pdfs=pdfs)


EFFECTS: Mapping[str, Change] = {
    "nothing": lambda s: s,
    "no coil shading": lambda s: _environment(s, coil=Coil()),
    "half the matrix (Gibbs ringing)": lambda s: _readout(s, matrix=(0.6, 0.5)),
    "fat displaced, 120 Hz a pixel": lambda s: _readout(s, bandwidth=120.0),
    "long echo train (T2 blur)": lambda s: _train(s, 24, 0.012),
    "noise, SNR 8": lambda s: replace(
        s,
        pd=replace(s.pd, noise=replace(s.pd.noise, snr=8.0)),
        pdfs=replace(s.pdfs, noise=replace(s.pdfs.noise, snr=8.0)),
    ),
    "shim off by 2.4 ppm": lambda s: _field(s, shim=(300.0 * s.environment.field_strength / 3, 0.0, 0.0)),
    "field gradient": lambda s: _field(s, shim=(0.0, 0.0, 0.0, 250.0 * s.environment.field_strength / 3)),
    "transmit field 25 % low": lambda s: _field(s, transmit=0.75),
    "phase errors (ghosts)": lambda s: _both(s, ghosts=Ghosts(phase_error=0.15, seed=3)),
    "pulsation": lambda s: _both(s, ghosts=Ghosts(pulsation=0.6, seed=3)),
    "motion between the scans": lambda s: replace(
        s, pdfs=replace(s.pdfs, motion=Motion(shift=(4.0, -3.0), angle=0.03))
    ),
}
"""Effects of sequence and scanner, each on its own upon `plain`."""
