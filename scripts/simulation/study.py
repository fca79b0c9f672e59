# SPDX-License-Identifier: Apache-2.0
"""One simulated study: a knee scanned twice on one grid, as PD and as PDFS. Draw first, then apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scripts.simulation.anatomy.canvas import Anatomy
from scripts.simulation.anatomy.knee import Knee
from scripts.simulation.anatomy.parameters import KneeParameters, draw_knee
from scripts.simulation.anatomy.random_shapes import RandomShapes, ShapesParameters, draw_shapes
from scripts.simulation.implants import with_implants
from scripts.simulation.maps import TissueMaps
from scripts.simulation.pathology.base import LesionParameters
from scripts.simulation.pathology.catalogue import DECOYS, KINDS, draw_lesions, lesion_of
from scripts.simulation.preset import Preset, load_preset
from scripts.simulation.quantities import quantities
from scripts.simulation.ranges import Ranges
from scripts.simulation.records import as_plain, from_plain
from scripts.simulation.relaxation import TissueValue, draw_tissue_values, tissue_table
from scripts.simulation.sampling import SUB_SLICES, in_threads, map_stack, on_cpu
from scripts.simulation.scanner.acquire import acquire
from scripts.simulation.scanner.draw import draw_scanner
from scripts.simulation.scanner.scan import Scan, ScannerParameters
from scripts.simulation.stack import Stack, draw_stack

SIMULATOR_VERSION = "5"
"""Part of every cache key: raise it with any change that alters a simulated voxel."""
CONTRASTS = ("PD", "PDFS")
SHAPE = (24, 256, 256)
"""Slices, rows and columns of a study unless something else is asked for."""
FIELD_STRENGTHS = (1.5, 3.0)
"""Fields [T] at which tissue values are known."""


@dataclass(frozen=True)
class StudyParameters:
    """Everything that a study follows from.

    Args:
        seed: names the study; also that of its noise.
        preset: name of what it was drawn from.
        stack: where the slices lie.
        anatomy: a knee, or random shapes.
        lesions: what is wrong with the knee, in the order of its application.
        tissues: relaxation times and densities.
        scanner: both scans, the coil and the field.
    """

    seed: int
    preset: str
    stack: Stack
    anatomy: KneeParameters | ShapesParameters
    lesions: tuple[LesionParameters, ...]
    tissues: tuple[TissueValue, ...]
    scanner: ScannerParameters

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 43:
            raise ValueError(f"Seed {self.seed} cannot be used; need 0 to {(1 << 43) - 1}.")
        tissue_table(self.tissues)  # refuses what is missing

    def as_dict(self) -> dict[str, Any]:
        """The drawn values as JSON's types."""
        content: dict[str, Any] = as_plain(self)
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StudyParameters:
        """The parameters that `as_dict` gave, possibly through JSON.

        Raises:
            ValueError: for a missing, unknown or impossible value; the message says where and what.
        """
        return from_plain(cls, content)

    @property
    def field_strength(self) -> float:
        """Static field [T]."""
        return self.scanner.environment.field_strength

    @property
    def side(self) -> str:
        """``L`` or ``R``; empty for random shapes, which have none."""
        if isinstance(self.anatomy, ShapesParameters):
            return ""
        return "L" if self.anatomy.pose.left else "R"

    @property
    def scans(self) -> tuple[Scan, Scan]:
        """PD and PDFS."""
        return self.scanner.pd, self.scanner.pdfs


@dataclass(frozen=True)
class Study:
    """A simulated study on one grid.

    Args:
        parameters: what was drawn.
        clean: noise-free target per contrast ``(2, D, H, W)``: PD as PDFS was scanned and PDFS as PD was scanned, that
            is with the other scan's coil shading, point spread and place, and with nominal fat suppression.
        noisy: PD and PDFS as each was scanned, ``(2, D, H, W)``.
        maps: the tissue behind them.
        sigma: standard deviation of the noise (real part) of PD and of PDFS at the isocentre, in the units of
            ``noisy``: those of fully relaxed free fluid there.
    """

    parameters: StudyParameters
    clean: Tensor
    noisy: Tensor
    maps: TissueMaps
    sigma: tuple[float, float]

    @property
    def labels(self) -> Tensor:
        """Structure with the largest share, uint8 ``(D, H, W)``, values of `anatomy.structures.LABEL`."""
        return self.maps.labels

    @property
    def lesion(self) -> Tensor:
        """Share of each voxel that lesions changed, 0..1, ``(D, H, W)``."""
        return self.maps.lesion.float() / 255

    @property
    def affine_lps(self) -> Tensor:
        """Index (slice, row, column, 1) to position [mm], float64 ``(4, 4)``."""
        return self.maps.affine_lps

    def quantities(self) -> dict[str, Tensor]:
        """Proton density, T1 [s], T2 [s] and fat fraction of each voxel, each ``(D, H, W)``."""
        return quantities(self.maps, tissue_table(self.parameters.tissues))


def draw_study(
    seed: int,
    preset: str | Path | Preset = "clinical",
    plane: str | None = None,
    shape: tuple[int, int, int] = SHAPE,
    field_strength: float | None = None,
    pathology: Mapping[str, float] | None = None,
) -> StudyParameters:
    """Draw one study.

    What is asked for replaces a draw and changes no other one: the same seed in another plane, at another field or with
    another lesion is the same knee.

    Args:
        seed: names the study; the same seed and arguments give the same study on every machine.
        preset: name, file or content, see `preset.load_preset`.
        plane: sagittal, coronal or axial; drawn if None.
        shape: slices, rows and columns.
        field_strength: 1.5 or 3 T; drawn if None.
        pathology: chance (0..1) of kinds of lesions, instead of the preset's.

    Raises:
        ValueError: for an unknown preset, plane, field or pathology, or a shape that no scan can have.
    """
    if not 0 <= seed < 1 << 43:
        raise ValueError(f"Seed {seed} cannot be used; need 0 to {(1 << 43) - 1}.")
    if field_strength is not None and field_strength not in FIELD_STRENGTHS:
        raise ValueError(f"Tissue values at {field_strength:g} T are not known; need 1.5 or 3 T.")
    ranges = Ranges(_with_chances(load_preset(preset), pathology or {}, seed), seed)
    geometry = ranges.section("geometry")
    stack = draw_stack(geometry.section("stack"), shape, plane)
    field = field_strength or float(geometry.choose("field_strength"))
    anatomy: KneeParameters | ShapesParameters
    lesions: tuple[LesionParameters, ...] = ()
    if geometry.happens("random_shapes"):
        anatomy = draw_shapes(ranges.section("shapes"), seed)
    else:
        anatomy, lesions = draw_knee(ranges.section("knee"), seed), draw_lesions(ranges.section("lesions"))
    return StudyParameters(
        seed=seed,
        preset=Path(preset).stem if isinstance(preset, str | Path) else "given",
        stack=stack,
        anatomy=anatomy,
        lesions=lesions,
        tissues=draw_tissue_values(ranges.section("tissues"), field),
        scanner=draw_scanner(ranges.section("scanner"), field),
    )


def without_lesions(parameters: StudyParameters) -> StudyParameters:
    """The same knee, scans and noise without its lesions; what only looks like one (`DECOYS`) stays."""
    kept = tuple(lesion for lesion in parameters.lesions if lesion.name in DECOYS)
    return replace(parameters, lesions=kept)


def anatomy_of(parameters: StudyParameters) -> Anatomy:
    """What is scanned."""
    if isinstance(parameters.anatomy, ShapesParameters):
        return RandomShapes(parameters.anatomy)
    return Knee(parameters.anatomy, [lesion_of(lesion) for lesion in parameters.lesions])


def map_study(
    parameters: StudyParameters, device: torch.device | str = "cpu", workers: int = 1, sub_slices: int = SUB_SLICES
) -> TissueMaps:
    """The tissue on the grid of a study; arguments as for `simulate_study`, but the maps stay on the device."""
    return map_stack(anatomy_of(parameters), parameters.stack, device, workers, sub_slices)


def simulate_study(
    parameters: StudyParameters,
    device: torch.device | str = "cpu",
    workers: int = 1,
    sub_slices: int = SUB_SLICES,
) -> Study:
    """Scan a drawn knee.

    Args:
        parameters: what `draw_study` gave, possibly changed.
        device: where to compute; the study comes back on the CPU. Devices agree to rounding, but for single voxels that
            lie exactly on a boundary.
        workers: threads; the result does not depend on them.
        sub_slices: thin sheets averaged across each slice, at least 1.

    Raises:
        ValueError: if the slices miss the knee.
    """
    anatomy, environment = anatomy_of(parameters), parameters.scanner.environment
    place = map_stack(anatomy, parameters.stack, device, workers, sub_slices)
    stack = _moved(parameters.stack, parameters.scanner.pdfs.motion.through_plane)
    places = (place, place if stack is parameters.stack else map_stack(anatomy, stack, device, workers, sub_slices))
    if isinstance(anatomy, Knee):
        environment = with_implants(environment, anatomy.lesions, anatomy.frame)
    tissues = tissue_table(parameters.tissues)
    size, scans = (2, *parameters.stack.shape), parameters.scans
    clean, noisy = torch.empty(size), torch.empty(size)

    def scan(index: int) -> tuple[float, float]:
        sigmas = []
        for which, (own, other) in enumerate(zip(scans, scans[::-1], strict=True)):
            seen = acquire(places[which], own, tissues, environment, 2 * parameters.seed + which, [index])
            noisy[which, index] = seen.magnitude[0].cpu()
            target = acquire(
                places[1 - which], own, tissues, environment, 0, [index], noise=False, nominal=True, as_if=other
            )
            clean[which, index] = target.magnitude[0].cpu()
            sigmas.append(float(seen.sigma[0]))
        return sigmas[0], sigmas[1]

    sigma = in_threads(scan, parameters.stack.shape[0], workers)[0]
    return Study(parameters, clean, noisy, on_cpu(place), sigma)


def _moved(stack: Stack, through_plane: float) -> Stack:
    """Where the slices lie in a knee that moved along their normal [mm]: the other way."""
    if through_plane == 0:
        return stack
    normal = stack.affine_lps[:3, 0] / stack.affine_lps[:3, 0].norm()
    x, y, z = (torch.tensor(stack.centre, dtype=torch.float64) - through_plane * normal).tolist()
    return replace(stack, centre=(x, y, z))


def _with_chances(preset: Preset, chances: Mapping[str, float], seed: int) -> dict[str, Any]:
    """A preset in which the named kinds of lesions are there for certain or not at all, by their chance."""
    lesions = dict(preset["lesions"])
    for name, chance in chances.items():
        if name not in KINDS or name not in lesions:
            raise ValueError(f"Pathology {name!r} is unknown; choose one of {', '.join(KINDS)}.")
        if not 0 <= chance <= 1:
            raise ValueError(f"Pathology {name!r} has a chance of {chance:g}; need 0 to 1.")
        there = Ranges({}, seed, f"/pathology/{name}").uniform() < chance
        lesions[name] = dict(lesions[name]) | {"chance": float(there)}
    return dict(preset) | {"lesions": lesions}
