# SPDX-License-Identifier: Apache-2.0
"""A fixed test set: knees in three planes, each lesion in and out of the same knee, checksummed, with a data card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scripts.simulation.export import drawn_of, write_json, write_volume
from scripts.simulation.pathology.base import LesionParameters
from scripts.simulation.pathology.catalogue import DECOYS, KINDS
from scripts.simulation.preset import load_preset, preset_hash
from scripts.simulation.stack import PLANES
from scripts.simulation.study import (
    CONTRASTS,
    SIMULATOR_VERSION,
    Study,
    StudyParameters,
    draw_study,
    simulate_study,
    without_lesions,
)

SECTION = "benchmark"
"""Section of a preset that makes it a benchmark."""
SUMS = "SHA256SUMS"
_KEYS = ("knees", "first_seed", "shape", "lesion_free", "kinds")
_STEP = 4000
"""Grey levels up to the 99.9th percentile of a scan: a level is a small part of any scan's noise."""


@dataclass(frozen=True)
class Case:
    """One stack of the set.

    Args:
        name: of its folder.
        knee: number of the knee, from 1.
        plane: sagittal, coronal or axial.
        lesions: kinds in it; none for the twin without.
        twin: folder of the same knee, plane and noise without its lesions; empty where there is none.
        lesion_voxels: voxels that lesions changed by more than half.
        snr: signal of muscle over the noise at the isocentre, PD and PDFS.
    """

    name: str
    knee: int
    plane: str
    lesions: tuple[str, ...]
    twin: str
    lesion_voxels: int
    snr: tuple[float, float]


def is_benchmark(preset: Mapping[str, Any]) -> bool:
    """Whether a loaded preset is that of a benchmark."""
    return bool(preset.get(SECTION))


def draw_knees(preset: str | Path, knees: int | None = None) -> list[list[StudyParameters]]:
    """The studies of a benchmark: for each knee one in each plane, lesions in.

    Of the knees, the first of every ``lesion_free`` has none; the others have one lesion of a kind at least, the kinds
    taking turns, and others by their chance.

    Args:
        preset: name or file of a benchmark.
        knees: only so many of them, from the first.

    Raises:
        ValueError: for a preset that is no benchmark.
    """
    content = load_preset(preset)
    section = content.get(SECTION) or {}
    if section.keys() != set(_KEYS):
        raise ValueError(f"Preset {preset} is no benchmark; its section {SECTION} needs {', '.join(_KEYS)}.")
    slices, rows, columns = section["shape"]
    kinds, free, turn = section["kinds"], int(section["lesion_free"]), 0
    drawn = []
    for number in range(min(knees or int(section["knees"]), int(section["knees"]))):
        if number % free == 0:
            chances = {name: 0.0 for name in KINDS if name not in DECOYS}
        else:
            chances, turn = {kinds[turn % len(kinds)]: 1.0}, turn + 1
        seed = int(section["first_seed"]) + number
        drawn.append([draw_study(seed, preset, plane, (slices, rows, columns), pathology=chances) for plane in PLANES])
    return drawn


def write_benchmark(
    folder: Path,
    preset: str | Path,
    knees: int | None = None,
    shape: tuple[int, int, int] | None = None,
    workers: int = 1,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> list[Case]:
    """Make the set.

    Args:
        folder: exists and is empty.
        preset: name or file of a benchmark.
        knees: only so many, for a look; the set is then not the benchmark, and its card says so.
        shape: other slices, rows and columns, likewise.
        workers: threads; the result does not depend on them.
        tell: told how many stacks of how many are done.

    Returns:
        What was made.
    """
    drawn = draw_knees(preset, knees)
    if shape is not None:
        drawn = [[replace(one, stack=_resized(one, shape)) for one in knee] for knee in drawn]
    total = sum(2 if _diseased(one) else 1 for knee in drawn for one in knee)
    cases: list[Case] = []
    for number, planes in enumerate(drawn, 1):
        for parameters in planes:
            cases += _write_pair(folder, number, parameters, workers)
            tell(len(cases), total)
    pairs = [{"patient": c.name} | {key: f"{c.name}/{file}.nii.gz" for key, file in _ITEM.items()} for c in cases]
    write_json(folder / "manifest.json", {"test": [item | {"section": "test"} for item in pairs]})
    record = {"preset": Path(preset).stem, "preset_hash": preset_hash(load_preset(preset))}
    record |= {"simulator_version": SIMULATOR_VERSION}
    write_json(folder / "benchmark.json", record | {"cases": [asdict(case) for case in cases]})
    (folder / "README.md").write_text(_card(record, cases, knees is None and shape is None), encoding="utf-8")
    write_sums(folder)
    return cases


_ITEM = {"image": "PD", "label": "PDFS", "image_clean": "PD_clean", "label_clean": "PDFS_clean"}


def write_sums(folder: Path) -> Path:
    """Write `SUMS`, a line per file below ``folder``, in the format of ``sha256sum -c``."""
    # A hidden file, as the lock of a folder in the making, is no part of the set.
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS and path.name[0] != ".")
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in files
    ]
    target = folder / SUMS
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def _resized(parameters: StudyParameters, shape: tuple[int, int, int]) -> Any:
    stack = parameters.stack
    zoom = max(stack.shape[1:]) / max(shape[1:])
    return replace(stack, shape=shape, spacing=(stack.spacing[0], stack.spacing[1] * zoom, stack.spacing[2] * zoom))


def _diseased(parameters: StudyParameters) -> list[LesionParameters]:
    return [lesion for lesion in parameters.lesions if lesion.name not in DECOYS]


def _write_pair(folder: Path, number: int, parameters: StudyParameters, workers: int) -> list[Case]:
    """One stack, and where the knee has lesions its twin without them, on the same grey levels."""
    name = f"knee-{number:02d}-{parameters.stack.plane}"
    healthy = simulate_study(without_lesions(parameters), workers=workers)
    step = [float(torch.quantile(volume.flatten()[::7], 0.999)) / _STEP for volume in healthy.noisy]
    names = [name if not _diseased(parameters) else f"{name}-without"]
    cases = [_write_case(folder / names[0], healthy, number, "", step, None)]
    if _diseased(parameters):
        study = simulate_study(parameters, workers=workers)
        changed = (study.lesion - healthy.lesion).clamp_min(0)  # decoys are in both
        cases.append(_write_case(folder / f"{name}-with", study, number, names[0], step, changed))
    return cases


def _write_case(folder: Path, study: Study, number: int, twin: str, step: list[float], lesion: Tensor | None) -> Case:
    folder.mkdir()
    for index, contrast in enumerate(CONTRASTS):
        for name, volume in ((contrast, study.noisy[index]), (f"{contrast}_clean", study.clean[index])):
            write_volume(folder / f"{name}.nii.gz", volume, study.affine_lps, step[index])
    write_volume(folder / "labels.nii.gz", study.labels, study.affine_lps)
    if lesion is not None:
        write_volume(folder / "lesion.nii.gz", (lesion * 255).round().to(torch.uint8), study.affine_lps)
    write_json(folder / "drawn.json", drawn_of(study))
    parameters = study.parameters
    return Case(
        name=folder.name,
        knee=number,
        plane=parameters.stack.plane,
        lesions=tuple(dict.fromkeys(one.name for one in _diseased(parameters))),
        twin=twin,
        lesion_voxels=0 if lesion is None else int((lesion > 0.5).sum()),
        snr=(parameters.scanner.pd.noise.snr, parameters.scanner.pdfs.noise.snr),
    )


def _card(record: Mapping[str, Any], cases: list[Case], whole: bool) -> str:
    rows = [
        f"| {case.name} | {', '.join(case.lesions) or '–'} | {case.lesion_voxels or '–'} "
        f"| {case.snr[0]:.0f} | {case.snr[1]:.0f} |"
        for case in cases
    ]
    knees, lesions = len({case.knee for case in cases}), sum(bool(case.lesions) for case in cases)
    title = f"# {record['preset']}: simulated knees for PD <-> PDFS synthesis"
    part = (
        []
        if whole
        else ["", "**A part or another size of the set, for a look: scores on it are not those of the set.**"]
    )
    return "\n".join(
        [title, *part, "", _CARD.format(**record, knees=knees, stacks=len(cases), lesions=lesions), *rows, ""]
    )


_CARD = """\
Made by `kneesynth simulate --preset {preset}` (simulator version {simulator_version}, preset {preset_hash}); no
person was scanned. {knees} knees in three planes, {stacks} stacks, {lesions} of them with lesions; each of these has a
twin: the same knee, scan and noise without the lesions.

**Use.** To compare methods that turn PD into PDFS or back, on one set, against the truth that real scans do not have.
Not for training. Scores on simulated knees do not carry over to scanners: the ranking may, the numbers do not.

**What is in a folder.** `PD`, `PDFS`: the noisy scans. `PD_clean`, `PDFS_clean`: the noise-free target of a synthesis
of that contrast from the other scan: on the other scan's grid, coil shading and point spread, with nominal fat
suppression and without motion between the scans. `labels`: structures (uint8, the simulator's table). `lesion`: share
of each voxel that lesions changed, in 255ths. `drawn.json`: every drawn value; the study follows from it.
`manifest.json` is what `--dataset_dir` reads; `benchmark.json` holds the table below.

**Geometry and values.** NIfTI, RAS [mm], axes (columns, rows, slices). Scans are integers with a scale factor, in units
of fully relaxed free fluid under a coil of gain one; the grey level is far below the noise.

**Integrity.** `sha256sum -c SHA256SUMS`. The same software on the same kind of processor makes the same bytes; across
processors a voxel may differ by one grey level.

**Limits.** Shapes and textures are a model's. Marrow oedema that does not show on PD cannot be recovered from it; the
lesions here differ in how well PD shows them, as real ones do.

| folder | lesions | lesion voxels | SNR of muscle, PD | PDFS |
|---|---|---|---|---|"""
