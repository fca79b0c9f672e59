# SPDX-License-Identifier: Apache-2.0
"""One simulated study: a knee scanned twice on one grid, as PD and as PDFS. Draw first, then apply."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch

from scripts.simulation.old_parameters import KneeParameters, draw_knee
from scripts.simulation.old_scanner import CoilShading, draw_coil, sample_k_space, thermal_noise
from scripts.simulation.phantom import Knee
from scripts.simulation.signal import (
    FAT_SHIFT,
    GYROMAGNETIC_RATIO,
    FatSuppression,
    Sequence,
    suppressed_fraction,
    turbo_spin_echo,
)
from scripts.simulation.tissue import COMPARTMENTS, FAT, INDEX, TissueTable, draw_tissues

PLANES = ("sagittal", "coronal", "axial")
# Directions of columns, rows (as displayed, downwards) and slices in LPS.
_AXES: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "sagittal": ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "axial": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}
SIMULATOR_VERSION = "2"
"""Part of every cache key: raise it with any change that alters a simulated voxel."""


@dataclass(frozen=True)
class Scan:
    """What one of the two scans is: its sequence, its fat suppression if any, its noise and its readout.

    Args:
        sequence: the TSE's times.
        suppression: the saturation pulse, None for PD.
        snr: signal of muscle over the standard deviation of the noise, at the joint.
        fat_shift: chemical-shift displacement of fat [pixels].
    """

    sequence: Sequence
    suppression: FatSuppression | None
    snr: float
    fat_shift: float


@dataclass(frozen=True)
class StudyParameters:
    """Everything a study follows from, besides the textures that its seed gives."""

    seed: int
    plane: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    thickness: float
    obliquity: tuple[float, float]
    field_strength: float
    matrix: tuple[float, float]
    readout_axis: int
    knee: KneeParameters
    pd: Scan
    pdfs: Scan

    def as_dict(self) -> dict[str, Any]:
        """The drawn values as plain types, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Study:
    """A simulated study on one grid.

    Args:
        parameters: what was drawn.
        clean: noise-free magnitude of PD and PDFS, ``(2, D, H, W)``, in units of fully relaxed free fluid.
        noisy: the same with each scan's own noise.
        labels: index of the largest compartment, uint8 ``(D, H, W)``.
        affine_lps: index (slice, row, column) to position [mm], ``(4, 4)``.
        sigma: standard deviation of the noise (real part) of PD and of PDFS, in the units of ``clean``.
    """

    parameters: StudyParameters
    clean: torch.Tensor
    noisy: torch.Tensor
    labels: torch.Tensor
    affine_lps: torch.Tensor
    sigma: tuple[float, float]


def draw_study(
    seed: int,
    plane: str | None = None,
    shape: tuple[int, int, int] = (24, 256, 256),
    field_strength: float | None = None,
) -> StudyParameters:
    """Draw one study.

    Args:
        seed: names the study; the same seed and arguments give the same study on every machine.
        plane: sagittal, coronal or axial; drawn if None.
        shape: slices, rows and columns.
        field_strength: 1.5 or 3 T; drawn if None.

    Raises:
        ValueError: for an unknown plane or a shape that no scan can have.
    """
    if plane is not None and plane not in PLANES:
        raise ValueError(f"Plane {plane!r} is unknown; choose one of {', '.join(PLANES)}.")
    if len(shape) != 3 or min(shape) < 1 or min(shape[1:]) < 16:
        raise ValueError(f"Shape {shape} cannot be scanned; need (slices >= 1, rows >= 16, columns >= 16).")
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    plane_drawn = PLANES[int(torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), 1, generator=generator))]
    field_drawn = 3.0 if uniform(0, 1) < 0.65 else 1.5
    field = field_strength or field_drawn
    field_of_view = uniform(145, 185)
    slab = uniform(84, 112)
    in_plane = field_of_view / max(shape[1:])
    between = max(slab / shape[0], 1.0)
    readout_bandwidth = uniform(120, 300)  # Hz per pixel
    snr = uniform(12, 45)

    def scan(suppressed: bool) -> Scan:
        length = int(uniform(4, 12))
        sequence = Sequence(
            repetition_time=uniform(2.0, 4.0),
            echo_time=uniform(0.020, 0.040),
            echo_train_length=length,
            echo_spacing=uniform(0.008, 0.011),
        )
        pulse = FatSuppression(
            flip_angle=math.radians(uniform(84, 102)),
            bandwidth=85 * field,
            delay=uniform(0.005, 0.015),
            olefinic=uniform(0.06, 0.11),
        )
        return Scan(
            sequence=sequence,
            suppression=pulse if suppressed else None,
            snr=snr * (uniform(0.5, 0.9) if suppressed else 1.0),
            fat_shift=-FAT_SHIFT * GYROMAGNETIC_RATIO * field / readout_bandwidth,
        )

    return StudyParameters(
        seed=seed,
        plane=plane or plane_drawn,
        shape=shape,
        spacing=(between, in_plane, in_plane),
        thickness=between * uniform(0.75, 0.95),
        obliquity=(uniform(-0.12, 0.12), uniform(-0.12, 0.12)),
        field_strength=field,
        matrix=(uniform(0.6, 0.95), uniform(0.75, 1.0)),
        readout_axis=-1 if uniform(0, 1) < 0.5 else -2,
        knee=draw_knee(generator),
        pd=scan(False),
        pdfs=scan(True),
    )


def grid(parameters: StudyParameters) -> torch.Tensor:
    """Affine ``(4, 4)`` of the stack: (slice, row, column, 1) to LPS position [mm]."""
    columns, rows, slices = (torch.tensor(axis, dtype=torch.float64) for axis in _AXES[parameters.plane])
    a, b = parameters.obliquity
    slices = slices + a * rows + b * columns
    slices = slices / slices.norm()
    columns = columns - (columns @ slices) * slices
    columns = columns / columns.norm()
    rows = torch.linalg.cross(slices, columns)
    affine = torch.eye(4, dtype=torch.float64)
    steps = torch.stack((slices, rows, columns), dim=1) * torch.tensor(parameters.spacing, dtype=torch.float64)
    affine[:3, :3] = steps
    centre = torch.tensor([(size - 1) / 2 for size in parameters.shape], dtype=torch.float64)
    affine[:3, 3] = -steps @ centre
    return affine


def simulate_study(parameters: StudyParameters, sub_slices: int = 2) -> Study:
    """Scan a drawn knee.

    Each slice is the mean of ``sub_slices`` thin ones across its thickness; all effects are linear in the compartments
    up to the magnitude, so partial volume is exact for that sampling.

    Args:
        parameters: what `draw_study` gave, possibly changed.
        sub_slices: samples across the slice thickness, at least 1.
    """
    texture = torch.Generator().manual_seed(parameters.seed + 1_000_003)
    knee = Knee(parameters.knee, texture)
    tissues = draw_tissues(parameters.field_strength, texture)
    coil = draw_coil(texture)
    scans = (parameters.pd, parameters.pdfs)
    signals = [_signal_per_compartment(scan, tissues, parameters.field_strength) for scan in scans]
    affine = grid(parameters)
    slices, rows, columns = parameters.shape
    clean = torch.empty(2, *parameters.shape)
    noisy = torch.empty(2, *parameters.shape)
    labels = torch.empty(parameters.shape, dtype=torch.uint8)
    row, column = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64), indexing="ij"
    )
    offsets = ((torch.arange(sub_slices) + 0.5) / sub_slices - 0.5) * parameters.thickness / parameters.spacing[0]
    sigmas = _noise_sigma(scans, signals, coil)
    edge = parameters.spacing[1]
    for index in range(slices):
        shares = torch.zeros(len(COMPARTMENTS), rows, columns)
        for offset in offsets:
            places = torch.stack((torch.full_like(row, index + float(offset)), row, column, torch.ones_like(row)))
            points = torch.tensordot(affine[:3], places, dims=1).float()
            shares += knee.compartments(points, edge) / sub_slices
        labels[index] = shares.argmax(0).to(torch.uint8)
        sensitivity = coil(points)
        for which, (scan, signal) in enumerate(zip(scans, signals, strict=True)):
            water = torch.einsum("c,chw->hw", signal * ~FAT, shares) * sensitivity
            fat = torch.einsum("c,chw->hw", signal * FAT, shares) * sensitivity
            image = sample_k_space(water, fat, parameters.matrix, scan.fat_shift, parameters.readout_axis)
            clean[which, index] = image.abs()
            noise = thermal_noise(image.shape, sigmas[which], parameters.matrix, texture)
            noisy[which, index] = (image + noise).abs()
    return Study(parameters, clean, noisy, labels, affine, (sigmas[0], sigmas[1]))


def _noise_sigma(scans: tuple[Scan, Scan], signals: list[torch.Tensor], coil: CoilShading) -> list[float]:
    """Standard deviation of the noise per scan: one receiver noise over the image, SNR as stated at the joint."""
    centre = float(coil(torch.zeros(3, 1)))
    return [float(signal[INDEX["muscle"]]) * centre / scan.snr for scan, signal in zip(scans, signals, strict=True)]


def _signal_per_compartment(scan: Scan, tissues: TissueTable, field_strength: float) -> torch.Tensor:
    """Signal of a voxel filled with each compartment, ``(C,)``; suppression is nominal (no field error)."""
    signal = turbo_spin_echo(scan.sequence, tissues.t1, tissues.t2) * tissues.density
    if scan.suppression is None:
        return signal
    nominal = torch.zeros(()), torch.ones(())
    fat_t1 = float(tissues.t1[INDEX["subcutaneous_fat"]])
    on_fat, on_water = suppressed_fraction(scan.suppression, *nominal, field_strength, fat_t1)
    return signal * torch.where(FAT, on_fat, on_water)
