# SPDX-License-Identifier: Apache-2.0
"""``kneesynth simulate``: simulated studies as DICOM and NIfTI, and the fixed benchmark."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.progress import progress
from scripts.errors import OutputError, UsageError

if TYPE_CHECKING:
    from scripts.dicom.study import SimulatedSeries
    from scripts.simulation.study import Study, StudyParameters

_SHORT = {"sagittal": "Sag", "coronal": "Cor", "axial": "Ax"}


def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make; one subfolder per study.")],
    studies: Annotated[
        int | None, typer.Option("--studies", min=1, help="Number of knees. Default: 1; all 40 of a benchmark.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the first study; the next ones follow. Default: 1.")
    ] = None,
    plane: Annotated[
        str | None, typer.Option("--plane", metavar="sagittal|coronal|axial", help="Default: drawn per study.")
    ] = None,
    field: Annotated[float | None, typer.Option("--field", metavar="1.5|3", help="Tesla. Default: drawn.")] = None,
    shape: Annotated[
        str | None, typer.Option("--shape", metavar="SLICESxROWSxCOLUMNS", help="Default: 24x256x256.")
    ] = None,
    pathology: Annotated[
        list[str] | None,
        typer.Option(
            "--pathology", metavar="KIND=CHANCE", help="Chance of a kind per study, 0 to 1; repeat it for more kinds."
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", help="What is drawn: clinical, randomised, benchmark-v1, or a YAML file.")
    ] = "clinical",
    dicom: Annotated[bool, typer.Option("--dicom", help="Write DICOM: scout, PD and PDFS series.")] = False,
    nifti: Annotated[
        bool, typer.Option("--nifti", help="Write NIfTI: scans, clean targets, labels, lesions, parameter maps.")
    ] = False,
) -> None:
    """Simulate PD/PDFS studies of a knee; marked as simulated and refused like any synthetic input.

    Example: kneesynth simulate -o demo/study --studies 1 --plane sagittal --pathology oedema=1 --dicom
    """
    from scripts.simulation.benchmark import is_benchmark
    from scripts.simulation.preset import load_preset

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out.name}: exists and is not empty; need a new folder; choose another or remove it")
    size, chances = _shape(shape), _chances(pathology or [])
    with _told():
        content = load_preset(preset)
    if is_benchmark(content):
        given = {"--seed": seed, "--plane": plane, "--field": field, "--pathology": pathology, "--dicom": dicom or None}
        if named := [name for name, value in given.items() if value is not None]:
            raise UsageError(f"{', '.join(named)} with {preset}, which is a fixed set of NIfTI files; leave it out")
        count = _benchmark(out, preset, studies, size)
    else:
        count, first = studies or 1, 1 if seed is None else seed
        with _told():
            from scripts.simulation.study import SHAPE, draw_study

            numbers = range(first, first + count)
            drawn = [draw_study(number, preset, plane, size or SHAPE, field, chances) for number in numbers]
        _studies(out, drawn, dicom or not nifti, nifti or not dicom)
    typer.echo(f"{count} simulated {'study' if count == 1 else 'studies'} in {out}")


def _studies(out: Path, drawn: Sequence[StudyParameters], dicom: bool, nifti: bool) -> None:
    from scripts.simulation.export import write_drawn, write_nifti
    from scripts.simulation.study import simulate_study

    with _whole(out) as partial, progress() as tell:
        for index, parameters in enumerate(drawn):
            tell("simulating", index, len(drawn))
            with _told():
                study = simulate_study(parameters, workers=_cores())
            folder = partial / f"simulated-{parameters.seed}"
            folder.mkdir()
            write_drawn(folder, study)
            if nifti:
                write_nifti(folder, study)
            if dicom:
                from scripts.dicom.study import write_simulated_study

                write_simulated_study(folder / "dicom", _series(study), parameters.seed)
        tell("simulating", len(drawn), len(drawn))


def _benchmark(out: Path, preset: str, knees: int | None, shape: tuple[int, int, int] | None) -> int:
    from scripts.simulation.benchmark import write_benchmark

    with _whole(out) as partial, progress() as tell, _told():
        cases = write_benchmark(
            partial, preset, knees, shape, _cores(), lambda done, total: tell("simulating", done, total)
        )
    return len(cases)


@contextlib.contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``out`` by one rename, or vanishes."""
    from scripts.synthesis.staging import staged_output

    if out.exists():  # empty, or it would have been refused
        out.rmdir()
    with staged_output(out) as partial:
        yield partial


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what the simulator refuses into a refusal of the command line."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error).rstrip(".")) from error


def _shape(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    try:
        slices, rows, columns = (int(side) for side in text.lower().split("x"))
    except ValueError as error:
        raise UsageError(f"--shape {text}; need slices, rows and columns as in 24x256x256") from error
    return slices, rows, columns


def _chances(entries: Sequence[str]) -> dict[str, float]:
    chances = {}
    for entry in entries:
        name, _, chance = entry.partition("=")
        try:
            chances[name] = float(chance) if chance else 1.0
        except ValueError as error:
            raise UsageError(f"--pathology {entry}; need a kind and its chance as in oedema=0.3") from error
    return chances


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _series(study: Study) -> list[SimulatedSeries]:
    from scripts.dicom.study import SimulatedSeries
    from scripts.simulation.export import scout_of

    parameters = study.parameters

    def series(volume: Study, index: int, description: str, localizer: bool = False) -> SimulatedSeries:
        scan = volume.parameters.scans[index]
        return SimulatedSeries(
            array=volume.noisy[index].numpy(),
            affine_lps=volume.affine_lps.numpy(),
            contrast=("PD", "PDFS")[index],
            description=description,
            repetition_time=scan.sequence.repetition_time,
            echo_time=scan.sequence.echo_time,
            echo_train_length=scan.sequence.echo_train_length,
            field_strength=parameters.field_strength,
            fat_suppressed=scan.suppression is not None,
            localizer=localizer,
            laterality=parameters.side,
        )

    name = _SHORT[parameters.stack.plane]
    scout = series(scout_of(parameters), 0, "Scout", localizer=True)
    return [scout, series(study, 0, f"{name} PD TSE"), series(study, 1, f"{name} PD TSE FS")]
