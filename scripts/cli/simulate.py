# SPDX-License-Identifier: Apache-2.0
"""``kneesynth simulate``: simulated studies as DICOM and NIfTI."""

from __future__ import annotations

import shutil
import tempfile
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
    studies: Annotated[int, typer.Option("--studies", min=1, help="Number of knees.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the first study; the next ones follow.")] = 1,
    plane: Annotated[
        str | None, typer.Option("--plane", metavar="sagittal|coronal|axial", help="Default: drawn per study.")
    ] = None,
    field: Annotated[float | None, typer.Option("--field", metavar="1.5|3", help="Tesla. Default: drawn.")] = None,
    shape: Annotated[
        str, typer.Option("--shape", metavar="SLICESxROWSxCOLUMNS", help="Size of a series.")
    ] = "24x256x256",
    dicom: Annotated[bool, typer.Option("--dicom", help="Write DICOM: scout, PD and PDFS series.")] = False,
    nifti: Annotated[bool, typer.Option("--nifti", help="Write NIfTI: PD, PDFS, clean twins, labels.")] = False,
) -> None:
    """Simulate PD/PDFS studies of a knee; marked as simulated and refused like any synthetic input.

    Example: kneesynth simulate -o demo/study --studies 1 --plane sagittal --dicom
    """
    if not (dicom or nifti):
        dicom = nifti = True
    if field not in (None, 1.5, 3.0):
        raise UsageError(f"--field {field:g}; tissue values are known at 1.5 and 3; give one of them")
    size = _shape(shape)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out.name}: exists and is not empty; need a new folder; choose another or remove it")
    import torch

    from scripts.simulation.study import draw_study, simulate_study

    torch.set_num_threads(1)  # slices are small: a second thread only waits
    try:
        drawn = [draw_study(seed + index, plane, size, field) for index in range(studies)]
    except ValueError as error:
        raise UsageError(str(error)) from error
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        with progress() as tell:
            for index, parameters in enumerate(drawn):
                tell("simulating", index, studies)
                _write(partial, parameters, simulate_study(parameters), dicom, nifti)
            tell("simulating", studies, studies)
        if out.exists():
            out.rmdir()
        partial.chmod(0o755)
        partial.rename(out)
    except OSError as error:
        raise OutputError(
            f"{out.name}: cannot be written ({error.strerror}); need space and the right to write"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    typer.echo(f"{studies} simulated {'study' if studies == 1 else 'studies'} in {out}")


def _shape(text: str) -> tuple[int, int, int]:
    try:
        slices, rows, columns = (int(side) for side in text.lower().split("x"))
    except ValueError as error:
        raise UsageError(f"--shape {text}; need slices, rows and columns as in 24x256x256") from error
    return slices, rows, columns


def _write(root: Path, parameters: StudyParameters, study: Study, dicom: bool, nifti: bool) -> None:
    from scripts.simulation.export import write_drawn, write_nifti

    folder = root / f"simulated-{parameters.seed}"
    folder.mkdir()
    write_drawn(folder, study)
    if nifti:
        write_nifti(folder, study)
    if dicom:
        from scripts.dicom.study import write_simulated_study

        write_simulated_study(folder / "dicom", _series(study), parameters.seed)


def _series(study: Study) -> list[SimulatedSeries]:
    from scripts.dicom.study import SimulatedSeries
    from scripts.simulation.export import scans_of, scout_of

    parameters = study.parameters

    def series(volume: Study, contrast: str, index: int, description: str, localizer: bool) -> SimulatedSeries:
        _, array, scan = scans_of(volume)[index]
        return SimulatedSeries(
            array=array.numpy(),
            affine_lps=volume.affine_lps.numpy(),
            contrast=contrast,
            description=description,
            repetition_time=scan.sequence.repetition_time,
            echo_time=scan.sequence.echo_time,
            echo_train_length=scan.sequence.echo_train_length,
            field_strength=parameters.field_strength,
            fat_suppressed=scan.suppression is not None,
            localizer=localizer,
            laterality="L" if parameters.knee.left else "R",
        )

    name = _SHORT[parameters.plane]
    return [
        series(scout_of(parameters), "PD", 0, "Scout", True),
        series(study, "PD", 0, f"{name} PD TSE", False),
        series(study, "PDFS", 1, f"{name} PD TSE FS", False),
    ]
