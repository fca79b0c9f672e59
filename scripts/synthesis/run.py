# SPDX-License-Identifier: Apache-2.0
"""From an input path to a finished output folder: the one function behind ``kneesynth synthesize``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.errors import (
    DecodeError,
    GateError,
    GeometryError,
    KneeSynthError,
    OutOfMemory,
    SourceError,
    UsageError,
)
from scripts.software import default_root
from scripts.synthesis.audit import Trail, audited
from scripts.synthesis.bundle import Model, Transforms, load_model
from scripts.synthesis.inference import Progress, predict
from scripts.synthesis.jobs import Job, assemble, dicom_job, find_reference, nifti_job
from scripts.synthesis.narrowing import Narrowing
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.selection import TARGETS, Lift, choose
from scripts.synthesis.staging import check_writable, staged_output
from scripts.synthesis.verdicts import Verdict, judge, without_file_names

if TYPE_CHECKING:
    from scripts.synthesis.products import Synthesis

FORMATS = ("dicom", "nifti")
DEFAULT_TARGET = "PDFS"

_NIFTI_SUFFIXES = (".nii", ".nii.gz")


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
        show: what the products show besides the synthesis.
        audit: file to append a line of what became of each series to, see `scripts.synthesis.audit`.
        only: which candidate series count.
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
    show: Presentation = field(default_factory=Presentation)
    audit: Path | None = None
    only: Narrowing = field(default_factory=Narrowing)


@dataclass(frozen=True)
class Plan:
    """What a request comes to.

    Args:
        jobs: one for each series to make.
        formats: what is written of it.
        found: the verdict on every stack of a DICOM input.
    """

    jobs: tuple[Job, ...]
    formats: tuple[str, ...]
    found: tuple[Verdict, ...] = ()


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
    tell = progress or (lambda text, done, total: None)
    with audited(request.audit, bundle_root or default_root(), request.target) as trail:
        plan = find_jobs(request)
        trail.jobs = plan.jobs
        check_writable(request.out)
        with refusals_unwrapped():
            model = load_model(plan.jobs[0].target, request.device, bundle_root)
            with staged_output(request.out) as stage:
                report = _make(request, plan, model, stage, tell, trail)
        trail.warnings = [entry["warnings"] for entry in report["series"]]
    tell("writing", 1, 1)
    return report


def _make(request: Request, plan: Plan, model: Model, stage: Path, tell: Progress, trail: Trail) -> dict[str, Any]:
    """Synthesise and write one series after the other, so that one is in memory however many there are.

    One that is refused when its pixels are read keeps none of the others from being made.
    """
    # Late, like everything that brings in MONAI: a refusal comes at once.
    from scripts.synthesis.products import Products

    products = Products(stage, model.facts, plan.formats, request.show, several=len(plan.jobs) > 1)
    devices: list[str] = []
    refused: dict[str, KneeSynthError] = {}

    def facts(names: Iterable[str]) -> dict[str, str]:
        return {"Device": ", ".join(dict.fromkeys(names)), "Seconds": f"{trail.seconds:.1f}"}

    for job in plan.jobs:
        try:
            with refusals_unwrapped():
                data = predict(model, job.loadable, tell)
                tell("writing", 0, 1)
                products.add(finish(job, data, model), facts([data["device"]]))
                devices.append(data["device"])
        except (DecodeError, GateError, GeometryError) as error:
            refused[job.label] = error
        data = {}  # before the next one is made
    if not products.entries:
        raise next(iter(refused.values()))
    left: dict[str, str] = {}
    for job in plan.jobs:
        if job.label in refused:
            trail.add(refused[job.label].exit_code, job, job.warnings)
            files = (job.source,) if isinstance(job.source, Path) else job.source
            left[job.label] = without_file_names(str(refused[job.label]), files)
    trail.jobs = [job for job in plan.jobs if job.label not in refused]
    found = [one.skipped(left[one.stack]) if one.stack in left else one for one in plan.found]
    return products.close(facts(devices), found)


def find_jobs(request: Request) -> Plan:
    """What a request asks for, decided from headers alone.

    Raises:
        KneeSynthError: any refusal of the request or of its source.
    """
    _check(request)
    nifti = _nifti_input(request.inputs)
    formats = _formats(request, from_nifti=nifti is not None)
    return _dicom_plan(request, formats) if nifti is None else Plan((_nifti_job(nifti, request),), formats)


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
        if request.show.identifiers:
            raise UsageError("--identifiers with NIfTI: it names nobody; need --reference-dicom; add it or drop this")
        if "dicom" in (request.formats or ()):
            raise UsageError("--format dicom from NIfTI: no headers to derive from; need --reference-dicom; add it")
        return ("nifti",)
    return request.formats or FORMATS


def _nifti_job(path: Path, request: Request) -> Job:
    if request.site is not None:
        raise UsageError("--site with NIfTI: it has no series names; need a DICOM source; drop the option")
    if request.series is not None or request.all_series or request.only:
        raise UsageError(
            "--series, --all, --plane and --match choose among DICOM series; a NIfTI file is one volume; "
            "drop the option"
        )
    job = nifti_job(path, request.target)
    if request.reference_dicom is None:
        return job
    return nifti_job(path, job.target, find_reference(request.reference_dicom, job.target, request.lift))


def _dicom_plan(request: Request, formats: tuple[str, ...]) -> Plan:
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
        only=request.only,
    )
    jobs = tuple(dicom_job(choice, stacks, request.lift, selection.skipped) for choice in selection.choices)
    return Plan(jobs, formats, judge(stacks, selection, request.lift))


def _raise_nothing_found(inputs: Sequence[Path]) -> None:
    files = [path for path in inputs if path.is_file()]
    if files:
        raise DecodeError(f"{files[0].name}: neither DICOM nor NIfTI; need one of them; check the file")
    count = sum(_is_nifti(path) for folder in inputs for path in folder.rglob("*"))
    if count:
        raise SourceError(f"no DICOM series but {count} NIfTI in the folder; need one volume; name the file itself")
    raise SourceError("no DICOM series found; need a folder with a knee study, DICOM files or NIfTI; check the path")


def finish(job: Job, data: Mapping[str, Any], transforms: Transforms) -> Synthesis:
    """Put what `predict` gives back on the axes and scale of its source, with what belongs beside it.

    Raises:
        GeometryError: the synthesis does not lie on its source's voxels.
    """
    pred = transforms.postprocessing(data)["pred"]
    item = assemble(job, data["image"], pred, transforms.preprocessing, data["result"]["warnings"])
    return replace(item, warnings=(*item.warnings, *data["notes"]))
