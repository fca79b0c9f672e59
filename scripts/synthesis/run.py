# SPDX-License-Identifier: Apache-2.0
"""From an input path to a finished output folder: the one function behind ``kneesynth synthesize``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.errors import DecodeError, KneeSynthError, OutOfMemory, SourceError, UsageError
from scripts.synthesis.bundle import Model, Transforms, load_model
from scripts.synthesis.gates import admit
from scripts.synthesis.jobs import Job, assemble, dicom_job, find_reference, nifti_job
from scripts.synthesis.selection import TARGETS, Lift, choose
from scripts.synthesis.staging import check_writable, staged_output

if TYPE_CHECKING:
    import torch

    from scripts.synthesis.products import Synthesis

FORMATS = ("dicom", "nifti")
DEFAULT_TARGET = "PDFS"

_NIFTI_SUFFIXES = (".nii", ".nii.gz")

#: Called with what is being done, steps done, and steps in all.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Request:
    """What to synthesise, from what, to where.

    Args:
        inputs: folders, DICOM files, or one NIfTI file.
        out: output folder.
        target: ``"PDFS"``, ``"PD"`` or ``"auto"``; None means PDFS for DICOM and is refused for NIfTI.
        series: stack id or SeriesInstanceUID.
        all_series: one derived series of each candidate series.
        formats: any of ``dicom`` and ``nifti``; None for all that the source allows.
        reference_dicom: DICOM series on the grid of a NIfTI source, whose headers the derived series takes.
        device: ``auto``, ``cpu`` or ``cuda``.
        lift: which refusals are lifted.
        site: file of what the site's own series names mean, see `scripts.dicom.site`.
    """

    inputs: tuple[Path, ...]
    out: Path
    target: str | None = None
    series: str | None = None
    all_series: bool = False
    formats: tuple[str, ...] | None = None
    reference_dicom: Path | None = None
    device: str = "auto"
    lift: Lift = field(default_factory=Lift)
    site: Path | None = None


def synthesize(request: Request, progress: Progress | None = None, bundle_root: Path | None = None) -> dict[str, Any]:
    """Synthesise the other contrast of a knee series and write all products, or nothing.

    Args:
        request: what to do.
        progress: called as the work goes on.
        bundle_root: bundle folder; by default the one this package belongs to.

    Returns:
        The content of ``report.json``.

    Raises:
        KneeSynthError: any refusal; the output folder is then as it was.
    """
    started = time.monotonic()
    tell = progress or (lambda text, done, total: None)
    jobs, formats = find_jobs(request)
    check_writable(request.out)
    with refusals_unwrapped():
        model = load_model(jobs[0].target, request.device, bundle_root)
        items = [finish(job, _admitted(job, model, request.lift.force, tell), model) for job in jobs]

        # Late, like everything that brings in MONAI: a refusal comes at once.
        from scripts.synthesis.products import write_products

        tell("writing", 0, 1)
        facts = {"Device": model.device.type, "Seconds": f"{time.monotonic() - started:.1f}"}
        with staged_output(request.out) as stage:
            report = write_products(stage, items, model.facts, formats, facts)
    tell("writing", 1, 1)
    return report


def find_jobs(request: Request) -> tuple[list[Job], tuple[str, ...]]:
    """What a request asks for, decided from headers alone: a job for each series to make, and what is written of it.

    Raises:
        KneeSynthError: any refusal of the request or of its source.
    """
    _check(request)
    nifti = _nifti_input(request.inputs)
    formats = _formats(request, from_nifti=nifti is not None)
    return (_dicom_jobs(request) if nifti is None else [_nifti_job(nifti, request)]), formats


@contextlib.contextmanager
def refusals_unwrapped() -> Iterator[None]:
    """Bring out the refusal within what MONAI wraps around it, and call running out of memory by its name."""
    try:
        yield
    except KneeSynthError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, KneeSynthError):
                raise cause from error
            # The CPU allocator has no exception class of its own.
            if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError" or _says_memory(cause):
                raise OutOfMemory(
                    "out of memory while synthesising; need more for such a series; free some, or use --device cpu"
                ) from error
            cause = cause.__cause__
        raise


def _says_memory(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in str(error) or "not enough memory" in str(error)
    )


def _check(request: Request) -> None:
    if not request.inputs:
        raise UsageError("no input path; need a DICOM folder, DICOM files or a NIfTI file; give one")
    missing = [path for path in request.inputs if not path.exists()]
    if missing:
        raise UsageError(f"{missing[0].name}: no such file or folder; need an existing input; check the path")
    if request.target is not None and request.target not in TARGETS:
        raise UsageError(f"--to {request.target}: unknown contrast; need one of {', '.join(TARGETS)}; correct it")
    check_formats(request.formats)


def check_formats(formats: tuple[str, ...] | None) -> None:
    """Refuse names that are no format, and none at all.

    Raises:
        UsageError: what `Request.formats` cannot be.
    """
    unknown = [name for name in formats or () if name not in FORMATS]
    if unknown or formats == ():
        raise UsageError(f"--format {','.join(unknown)}: unknown; need dicom, nifti or both; correct it")


def _is_nifti(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(_NIFTI_SUFFIXES)


def _nifti_input(inputs: Sequence[Path]) -> Path | None:
    given = [path for path in inputs if _is_nifti(path)]
    if given and len(inputs) > 1:
        raise SourceError(f"{len(inputs)} inputs with NIfTI among them; need one NIfTI file alone; give one at a time")
    return given[0] if given else None


def _formats(request: Request, from_nifti: bool) -> tuple[str, ...]:
    if not from_nifti and request.reference_dicom is not None:
        raise UsageError("--reference-dicom with a DICOM source: it has its own headers; need NIfTI; drop the option")
    if from_nifti and request.reference_dicom is None:
        if "dicom" in (request.formats or ()):
            raise UsageError("--format dicom from NIfTI: no headers to derive from; need --reference-dicom; add it")
        return ("nifti",)
    return request.formats or FORMATS


def _nifti_job(path: Path, request: Request) -> Job:
    if request.site is not None:
        raise UsageError("--site with NIfTI: it has no series names; need a DICOM source; drop the option")
    if request.series is not None or request.all_series:
        raise UsageError("--series and --all choose among DICOM series; a NIfTI file is one volume; drop the option")
    job = nifti_job(path, request.target)
    if request.reference_dicom is None:
        return job
    return nifti_job(path, job.target, find_reference(request.reference_dicom, job.target, request.lift))


def _dicom_jobs(request: Request) -> list[Job]:
    from scripts.dicom.index import index_series
    from scripts.dicom.site import load_site

    stacks = index_series(request.inputs, None if request.site is None else load_site(request.site))
    if not stacks:
        _raise_nothing_found(request.inputs)
    selection = choose(
        stacks,
        request.target or DEFAULT_TARGET,
        series=request.series,
        all_series=request.all_series,
        lift=request.lift,
    )
    return [dicom_job(choice, stacks, request.lift, selection.skipped) for choice in selection.choices]


def _raise_nothing_found(inputs: Sequence[Path]) -> None:
    files = [path for path in inputs if path.is_file()]
    if files:
        raise DecodeError(f"{files[0].name}: neither DICOM nor NIfTI; need one of them; check the file")
    count = sum(_is_nifti(path) for folder in inputs for path in folder.rglob("*"))
    if count:
        raise SourceError(f"no DICOM series but {count} NIfTI in the folder; need one volume; name the file itself")
    raise SourceError("no DICOM series found; need a folder with a knee study, DICOM files or NIfTI; check the path")


def _admitted(job: Job, model: Model, force: bool, tell: Progress) -> dict[str, Any]:
    """`predict`, unless the gate refuses what preprocessing shows."""
    data = read_admitted(job, model, force)
    return data | {"pred": infer(model, data["image"], tell)}


def read_admitted(job: Job, transforms: Transforms, force: bool) -> dict[str, Any]:
    """Load and preprocess one volume, and ask the gate.

    Raises:
        GateError: its pixels are not what the model was made for, and nothing is lifted.
    """
    from scripts.transforms.quality import quality_of

    data = transforms.preprocessing({"image": job.loadable})
    admit(job.label if job.label == "nifti" else f"stack {job.label}", quality_of(data["result"]), force)
    return data


def predict(model: Model, source: str | list[str], tell: Progress) -> dict[str, Any]:
    """Load one volume and synthesise its other contrast.

    Args:
        model: what `load_model` gives.
        source: path, or paths of the instances of one stack.
        tell: called as the work goes on.

    Returns:
        The preprocessing's dictionary: ``image`` is what the network saw, ``pred`` what it made of it, both
        (1, slices, rows, columns) in display orientation and on the fixed scale, ``pred`` on the CPU.

    Raises:
        ArithmeticError: the network gave values that are not finite.
    """
    data = model.preprocessing({"image": source})
    return data | {"pred": infer(model, data["image"], tell)}


def infer(model: Model, image: torch.Tensor, tell: Progress) -> torch.Tensor:
    """The network's part of `predict`: a preprocessed volume to its synthesis, both (1, slices, rows, columns).

    Raises:
        ArithmeticError: the network gave values that are not finite.
    """
    import torch
    from monai.data import MetaTensor

    plain = image.as_tensor() if isinstance(image, MetaTensor) else image
    # Contiguous, as a data loader hands it over: the layout chooses the kernels, and with them the last digit.
    volume = plain[None].contiguous().to(model.device)
    slices, done = image.shape[1], 0
    tell("synthesising", 0, slices)

    def advance(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
        nonlocal done
        done += inputs[0].shape[0]
        tell("synthesising", min(done, slices), slices)

    hook = model.network.register_forward_hook(advance)
    try:
        with torch.inference_mode():
            pred = model.inferer(volume, model.network)[0].float().cpu()
    finally:
        hook.remove()
    if not bool(torch.isfinite(pred).all()):
        raise ArithmeticError("the network gave values that are not finite")
    return pred


def finish(job: Job, data: Mapping[str, Any], transforms: Transforms) -> Synthesis:
    """Put what `predict` gives back on the axes and scale of its source, with what belongs beside it.

    Raises:
        GeometryError: the synthesis does not lie on its source's voxels.
    """
    pred = transforms.postprocessing(data)["pred"]
    return assemble(job, data["image"], pred, transforms.preprocessing, data["result"])
