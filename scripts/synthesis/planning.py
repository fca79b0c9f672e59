# SPDX-License-Identifier: Apache-2.0
"""From a request to what is to be made of which series, decided from headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.errors import DecodeError, SourceError, UsageError
from scripts.synthesis.jobs import Job, dicom_job, find_reference, nifti_job
from scripts.synthesis.narrowing import Narrowing
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.selection import TARGETS, Lift, choose
from scripts.synthesis.verdicts import Verdict, judge
from scripts.transforms.nifti import is_nifti

FORMATS = ("dicom", "nifti")
DEFAULT_TARGET = "PDFS"


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
        uncertainty: say of each pixel how far the synthesis may be off.
        gate: ranges of the site's own scans, see `scripts.quality.limits`; None for those of the weights.
        calibration: the site's own, see `scripts.intervals.calibration`; None: the bundle's, for simulated sources.
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
    uncertainty: bool = False
    calibration: Path | None = None
    gate: Path | None = None


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


def find_jobs(request: Request) -> Plan:
    """What a request asks for, decided from headers alone.

    Raises:
        KneeSynthError: any refusal of the request or of its source.
    """
    _check(request)
    nifti = _nifti_input(request.inputs)
    formats = _formats(request, from_nifti=nifti is not None)
    return _dicom_plan(request, formats) if nifti is None else Plan((_nifti_job(nifti, request),), formats)


def _check(request: Request) -> None:
    if not request.inputs:
        raise UsageError("no input path; need a DICOM folder, DICOM files or a NIfTI file; give one")
    missing = [path for path in request.inputs if not path.exists()]
    if missing:
        raise UsageError(f"{missing[0].name}: no such file or folder; need an existing input; check the path")
    if request.target is not None and request.target not in TARGETS:
        raise UsageError(f"--to {request.target}: unknown contrast; need one of {', '.join(TARGETS)}; correct it")
    check_formats(request.formats)
    if request.calibration is not None and not request.uncertainty:
        raise UsageError("--calibration without --uncertainty: nothing to calibrate; need both; add --uncertainty")


def check_formats(formats: tuple[str, ...] | None) -> None:
    """Refuse names that are no format, and none at all.

    Raises:
        UsageError: what `Request.formats` cannot be.
    """
    unknown = [name for name in formats or () if name not in FORMATS]
    if unknown or formats == ():
        raise UsageError(f"--format {','.join(unknown)}: unknown; need dicom, nifti or both; correct it")


def _is_nifti(path: Path) -> bool:
    return path.is_file() and is_nifti(path)


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
