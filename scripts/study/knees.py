# SPDX-License-Identifier: Apache-2.0
"""The held-out simulated knees that a study is measured on, and the counterfactual pairs with one kind of lesion."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from scripts.body import body_mask, body_scale
from scripts.interruption import follow_the_parent
from scripts.metrics.body import fill_body
from scripts.simulation.cohort import SECTION_SEEDS
from scripts.simulation.pathology.catalogue import DECOYS, KINDS
from scripts.simulation.preset import load_preset
from scripts.simulation.relaxation import tissue_table
from scripts.simulation.sampling import map_stack
from scripts.simulation.scanner.acquire import acquire
from scripts.simulation.study import (
    SIMULATOR_VERSION,
    Study,
    StudyParameters,
    anatomy_of,
    draw_study,
    simulate_study,
    without_lesions,
)

Shape = tuple[int, int, int]

LESIONS = (
    "oedema",
    "effusion",
    "meniscal_tear",
    "cartilage_defect",
    "ligament_tear",
    "baker_cyst",
    "fat_oedema",
    "ganglion_cyst",
)
"""Kinds of lesions that are looked at, each alone."""
LESION_SEED, SEEDS_PER_KIND = 5_000_000, 10_000
"""First seed of the knees with lesions, and how many each kind may use: no cohort reaches these."""
LEAST_LESION = 4.0
"""Voxels that a lesion changes, at the least: a smaller one lies beside the stack."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Knee:
    """One knee, scanned as PD and as PDFS; images are float32 ``(2, D, H, W)``, PD first.

    Args:
        patient: its name.
        sources: as scanned, noisy, each divided by its own bright end: what a synthesis is given.
        quiet: the same scans without their noise, on the scale of the sources.
        failed: the noisy PDFS of a scanner whose suppression fails in part of the knee, ``(D, H, W)``, on its own
            scale.
        targets: what a synthesis should give, noise-free, each divided by its own bright end.
        sigma: standard deviation of the sources' noise at the isocentre, on their scale.
        labels: structures, uint8 ``(D, H, W)``.
        body: where to measure, boolean ``(D, H, W)``.
    """

    patient: str
    sources: Tensor
    quiet: Tensor
    failed: Tensor
    targets: Tensor
    sigma: tuple[float, float]
    labels: Tensor
    body: Tensor


@dataclass(frozen=True)
class Twins:
    """One knee with a lesion of one kind and without, on one scale; images are float32 ``(2, D, H, W)``, PD first.

    Args:
        patient: name of the knee.
        kind: of the lesion.
        sources: as scanned, with the lesion and without, with the same noise.
        quiet: the same without noise.
        targets: what a synthesis should give, with and without.
        lesion: share of each voxel that the lesion changed, ``(D, H, W)``.
        sigma: of the sources' noise at the isocentre, on their scale.
        size: of the lesion as drawn [mm], the first where there are several.
    """

    patient: str
    kind: str
    sources: tuple[Tensor, Tensor]
    quiet: tuple[Tensor, Tensor]
    targets: tuple[Tensor, Tensor]
    lesion: Tensor
    sigma: tuple[float, float]
    size: float


def body_of(targets: Tensor) -> Tensor:
    """The body in both contrasts, ``(2, D, H, W)``, noise-free."""
    return fill_body(body_mask(targets[0]) | body_mask(targets[1]))


def held_out_knees(count: int, shape: Shape, cache_dir: str | Path, workers: int = 2) -> list[Knee]:
    """Knees of the test section, drawn as a clinic sees them, lesions and all; simulated once and kept.

    Args:
        count: how many.
        shape: slices, rows and columns.
        cache_dir: where simulated knees are kept.
        workers: processes.
    """
    seeds = [SECTION_SEEDS["test"] + number for number in range(count)]
    return _kept(_file(cache_dir, "knees", count, shape), partial(_knee, shape=shape), seeds, Knee, workers)


def lesion_twins(kind: str, count: int, shape: Shape, cache_dir: str | Path, workers: int = 2) -> list[Twins]:
    """Counterfactual pairs of knees with a kind of lesion, of `LESIONS`; other arguments as for `held_out_knees`.

    A lesion that lies beside the stack is passed over, and the next knee is drawn.
    """
    first = LESION_SEED + SEEDS_PER_KIND * LESIONS.index(kind)
    seeds = [first + number for number in range(count)]
    make = partial(_twins, kind=kind, shape=shape, step=count)
    return _kept(_file(cache_dir, f"twins-{kind}", count, shape), make, seeds, Twins, workers)


def close_ups(
    kind: str, count: int, slices: int, size: tuple[int, int], cache_dir: str | Path, workers: int = 2
) -> list[Twins]:
    """As `lesion_twins`, of stacks that a scanner would give, less all slices but those around the lesion.

    Args:
        kind: of lesion, one of `LESIONS`.
        count: knees.
        slices: around the lesion.
        size: rows and columns, over the whole field of view.
        cache_dir: where simulated knees are kept.
        workers: processes.
    """
    first = LESION_SEED + SEEDS_PER_KIND * LESIONS.index(kind)
    shape = (slices, *size)
    make = partial(_twins, kind=kind, shape=shape, step=count, close=True)
    seeds = [first + number for number in range(count)]
    return _kept(_file(cache_dir, f"close-ups-{kind}", count, shape), make, seeds, Twins, workers)


def rescanned(pair: Twins, scans: int) -> Iterator[tuple[Tensor, Tensor]]:
    """What other protocols would make of a close-up: clean PDFS with the lesion and without, ``(D, H, W)``.

    Knee, tissues, coil and fields stay as they are; sequence and reconstruction of PDFS are those of another draw. Both
    are divided by the bright end of the second.

    Args:
        pair: of `close_ups`.
        scans: how many protocols.
    """
    depth, rows, columns = pair.lesion.shape
    shape = (int(depth), int(rows), int(columns))
    number = int(pair.patient.rpartition("-")[2])
    parameters = _around_lesion(_with_lesion(number, pair.kind, shape))
    for scan in range(1, scans + 1):
        pdfs = draw_study(number + scan * _RESCAN, _PRESET, shape=shape).scanner.pdfs
        other = replace(parameters, scanner=replace(parameters.scanner, pdfs=pdfs))
        present, absent = (simulate_study(one).clean[1] for one in (other, without_lesions(other)))
        scale = body_scale(absent)
        yield present / scale, absent / scale


_RESCAN = 100_000
"""Between the seeds of protocols for one knee: more than all kinds of lesions use."""


def _file(cache_dir: str | Path, what: str, count: int, shape: Shape) -> Path:
    return Path(cache_dir) / f"study-v{SIMULATOR_VERSION}-{what}-{count}-{'x'.join(map(str, shape))}.pt"


_Made = TypeVar("_Made", Knee, Twins)


def _kept(
    path: Path, make: Callable[[int], _Made], seeds: Sequence[int], kind: type[_Made], workers: int
) -> list[_Made]:
    """What was made before, or is made now, in half precision as cohorts are."""
    if not path.is_file():
        logger.info("simulating %d knees for %s", len(seeds), path.name)
        if workers == 1:
            made = [asdict(make(seed)) for seed in seeds]
        else:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(workers, mp_context=context, initializer=_alone) as pool:
                made = [asdict(one) for one in pool.map(make, seeds)]
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(".partial")
        torch.save(_precision(made, torch.float32, torch.float16), partial_path)
        partial_path.replace(path)
    found = _precision(torch.load(path, weights_only=True), torch.float16, torch.float32)
    return [kind(**one) for one in found]


def _precision(content: Any, before: torch.dtype, after: torch.dtype) -> Any:
    if isinstance(content, Tensor):
        return content.to(after) if content.dtype == before else content
    if isinstance(content, dict):
        return {key: _precision(value, before, after) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_precision(value, before, after) for value in content)
    return content


def _alone() -> None:
    follow_the_parent()
    torch.set_num_threads(1)


def _knee(seed: int, shape: Shape) -> Knee:
    parameters = draw_study(seed, shape=shape)
    study = simulate_study(parameters)
    given, asked = _scales(study.noisy), _scales(study.clean)
    targets = study.clean / asked
    return Knee(
        patient=f"sim-{seed:08d}",
        sources=study.noisy / given,
        quiet=_quiet(study) / given,
        failed=_failed(seed, shape),
        targets=targets,
        sigma=_sigma(study, given),
        labels=study.labels,
        body=body_of(targets),
    )


def _twins(seed: int, kind: str, shape: Shape, step: int, close: bool = False) -> Twins:
    """The first of the seeds ``seed``, ``seed + step``, ... whose lesion lies within the stack."""
    for number in range(seed, LESION_SEED + SEEDS_PER_KIND * (LESIONS.index(kind) + 1), step):
        parameters = _with_lesion(number, kind, shape)
        if close:
            parameters = _around_lesion(parameters)
        found = _pair(parameters, kind)
        if float(found.lesion.sum()) >= LEAST_LESION:
            return found
    raise ValueError(f"no knee after {seed} has a {kind} within a stack of {shape}; take a larger one.")


def _around_lesion(parameters: StudyParameters) -> StudyParameters:
    """The same study with its few slices moved along their normal to where the lesion is."""
    stack = parameters.stack
    zoom = stack.shape[1] / _LOOK[1]
    coarse = replace(stack, shape=_LOOK, spacing=(stack.spacing[0], stack.spacing[1] * zoom, stack.spacing[2] * zoom))
    anatomies = [anatomy_of(one) for one in (parameters, without_lesions(parameters))]
    present, absent = (map_stack(one, coarse, sub_slices=1).lesion.double() for one in anatomies)
    profile = (present - absent).clamp_min(0).sum(dim=(1, 2))
    if not float(profile.sum()) > 0:
        return parameters
    middle = float((profile * torch.arange(len(profile))).sum() / profile.sum())
    shift = (round(middle) - (len(profile) - 1) / 2) * stack.affine_lps[:3, 0]
    x, y, z = (torch.tensor(stack.centre, dtype=torch.float64) + shift).tolist()
    return replace(parameters, stack=replace(stack, centre=(x, y, z)))


_LOOK = (32, 48, 48)
"""Slices, rows and columns at which a lesion is looked for: enough to find its middle slice."""


# The fixed set's preset: nothing moves between the scans, and suppression does not fail.
_PRESET = "benchmark-v1"


def _with_lesion(seed: int, kind: str, shape: Shape) -> StudyParameters:
    chances = {name: float(name == kind) for name in KINDS if name not in DECOYS}
    return draw_study(seed, _PRESET, shape=shape, pathology=chances)


def _pair(parameters: StudyParameters, kind: str) -> Twins:
    present, absent = simulate_study(parameters), simulate_study(without_lesions(parameters))
    given, asked = _scales(absent.noisy), _scales(absent.clean)
    return Twins(
        patient=f"sim-{parameters.seed:08d}",
        kind=kind,
        sources=(present.noisy / given, absent.noisy / given),
        quiet=(_quiet(present) / given, _quiet(absent) / given),
        targets=(present.clean / asked, absent.clean / asked),
        lesion=(present.lesion - absent.lesion).clamp_min(0),
        sigma=_sigma(absent, given),
        size=next(one.size_mm for one in parameters.lesions if one.name == kind),
    )


def _scales(volumes: Tensor) -> Tensor:
    return torch.tensor([body_scale(volume) for volume in volumes]).view(-1, 1, 1, 1)


def _failed(seed: int, shape: Shape) -> Tensor:
    preset = load_preset("clinical")
    field = preset["scanner"]["field"] | {"failure_chance": 1.0}
    pdfs = simulate_study(draw_study(seed, preset | {"scanner": preset["scanner"] | {"field": field}}, shape=shape))
    return pdfs.noisy[1] / body_scale(pdfs.noisy[1])


def _sigma(study: Study, scales: Tensor) -> tuple[float, float]:
    pd, pdfs = (sigma / float(scale) for sigma, scale in zip(study.sigma, scales, strict=True))
    return pd, pdfs


def _quiet(study: Study) -> Tensor:
    """Both scans of a study without their noise."""
    parameters = study.parameters
    tissues, around = tissue_table(parameters.tissues), parameters.scanner.environment
    images = [acquire(study.maps, scan, tissues, around, 0, noise=False).clean for scan in parameters.scans]
    return torch.stack(images)
