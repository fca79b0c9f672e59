# SPDX-License-Identifier: Apache-2.0
"""From a manifest to a folder of finished series: the one function behind ``kneesynth synthesize --all --manifest``."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.archive.finished import finished_series
from scripts.archive.manifest import Line, read_manifest, shard
from scripts.archive.stages import Settings, read_facts_of
from scripts.errors import KneeSynthError, SeriesNotMade, UsageError
from scripts.interruption import INTERRUPTED, terminated_as_interrupted
from scripts.quality.limits import read_limits
from scripts.software import default_root, software_block
from scripts.synthesis.audit import Trail, audited
from scripts.synthesis.inference import Progress
from scripts.synthesis.narrowing import Narrowing
from scripts.synthesis.planning import check_formats
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.selection import Lift
from scripts.synthesis.staging import PROGRAM, check_writable

if TYPE_CHECKING:
    from scripts.archive.engine import Engine

ENGINES = ("local", "ray")
DEVICES = ("auto", "cpu", "cuda")


class Interrupted(KneeSynthError):
    """The keyboard or a scheduler ended a run that goes on when it is started again."""

    exit_code = INTERRUPTED


@dataclass(frozen=True)
class ArchiveRequest:
    """What to synthesise, with what, to where.

    Args:
        manifest: see `read_manifest`.
        out: folder of the series' folders.
        target: contrast for lines that name none.
        formats: any of ``dicom`` and ``nifti``; None for all that a source allows.
        device: ``auto``, ``cpu`` or ``cuda``.
        lift: which refusals are lifted.
        engine: ``local`` or ``ray``.
        address: of a Ray cluster; None for processes of this machine.
        shard: ``i/n``; None for all lines.
        workers: networks at work at a time; None for one per device.
        site: file of what the site's own series names mean, see `scripts.dicom.site`.
        retries: further attempts at a series that failed for a reason that may pass.
        show: what the products show besides the synthesis.
        audit: file to append a line of what became of each series to, see `scripts.synthesis.audit`.
        gate: ranges of the site's own scans, see `scripts.quality.limits`.
        only: which candidate series of a line that names a study count.
    """

    manifest: Path
    out: Path
    target: str | None = None
    formats: tuple[str, ...] | None = None
    device: str = "auto"
    lift: Lift = field(default_factory=Lift)
    engine: str = "local"
    address: str | None = None
    shard: str | None = None
    workers: int | None = None
    site: Path | None = None
    retries: int = 2
    show: Presentation = field(default_factory=Presentation)
    audit: Path | None = None
    only: Narrowing = field(default_factory=Narrowing)
    gate: Path | None = None


@dataclass
class Summary:
    """What a run did.

    Args:
        lines: lines of the manifest, or of this shard.
        results: name of the file with every attempt.
        finished_before: series that had nothing left to do.
        done: series made.
        failures: records of `Results` of the series, or lines, that were not made.
        seconds: from the first series to the last; start-up does not count.
        device_busy: share of that time in which networks were at work, over all of them.
        software: see `scripts.software.software_block`; of this machine.
    """

    lines: int
    results: str
    finished_before: int = 0
    done: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    device_busy: float = 0.0
    software: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same for machines, with the exit code: 0 where every series is there."""
        count = len(self.failures)
        message = f"{count} series were refused or failed; need each to be there; see {self.results}"
        return {
            "program": PROGRAM,
            "status": "incomplete" if count else "done",
            "exit_code": SeriesNotMade.exit_code if count else 0,
            "message": message if count else "",
            "series_per_minute": 60 * self.done / self.seconds if self.seconds else 0.0,
            **asdict(self),
        }


def synthesize_archive(
    request: ArchiveRequest, progress: Progress | None = None, bundle_root: Path | None = None
) -> Summary:
    """Synthesise every series of a manifest that is not finished yet.

    Args:
        request: what to do.
        progress: called as lines come to their end.
        bundle_root: bundle folder; by default the one this package belongs to.

    Returns:
        What was done; series that were refused or failed are in it and end nothing.

    Raises:
        KneeSynthError: the run cannot be done as it was asked for, or cannot go on.
    """
    with audited(request.audit, bundle_root or default_root(), request.target) as trail:
        return _synthesize(request, trail, progress or (lambda text, done, total: None), bundle_root)


def _synthesize(request: ArchiveRequest, trail: Trail, tell: Progress, bundle_root: Path | None) -> Summary:
    from scripts.archive.pipeline import Pipeline
    from scripts.archive.results import Results, results_name
    from scripts.dicom.site import load_site

    _check(request)
    lines = read_manifest(request.manifest, request.target)
    lines = lines if request.shard is None else shard(lines, request.shard)
    check_writable(request.out)
    out = request.out.absolute()
    site = None if request.site is None else request.site.absolute()
    if site is not None:
        load_site(site)  # refused here, once, and not for each line
    gate = None if request.gate is None else request.gate.absolute()
    if gate is not None:
        read_limits(gate)
    settings = Settings(
        out=out,
        facts=read_facts_of(bundle_root),
        formats=request.formats,
        lift=request.lift,
        site=site,
        bundle_root=bundle_root,
        show=request.show,
        only=request.only,
        gate=gate,
    )
    summary, left = _plan(lines, settings, results_name(request.shard))
    summary.software = software_block(vars(settings.facts))
    if not left:
        return summary
    with (
        Results(out / summary.results) as results,
        contextlib.closing(_engine(request, settings)) as engine,
    ):
        started, busy, ended = time.monotonic(), 0.0, 0
        tell("lines of the manifest", 0, len(left))
        try:
            with terminated_as_interrupted():  # once more: Ray has set its own handler by now
                for outcome in Pipeline(engine, settings, left, request.retries).outcomes():
                    summary.finished_before += outcome.finished_before
                    ended += outcome.line_ended
                    busy += outcome.seconds.get("network", 0.0)
                    if not outcome.finished_before:
                        record = results.add(outcome)
                        summary.done += outcome.failure is None
                        if outcome.failure is not None and not outcome.again:
                            summary.failures.append(record)
                        if not outcome.again:
                            trail.add(record["exit_code"], outcome.job, outcome.warnings, sum(outcome.seconds.values()))
                    tell("lines of the manifest", ended, len(left))
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"interrupted; {summary.done} series were finished and stay; the same command goes on with the others"
            ) from error
        summary.seconds = time.monotonic() - started
        summary.device_busy = busy / (summary.seconds * engine.workers)
    return summary


def _check(request: ArchiveRequest) -> None:
    check_formats(request.formats)
    if request.engine not in ENGINES:
        raise UsageError(f"--engine {request.engine}: unknown; need {' or '.join(ENGINES)}; correct it")
    if request.device not in DEVICES:
        raise UsageError(f"--device {request.device}: unknown; need {', '.join(DEVICES)}; correct it")
    if request.address is not None and request.engine != "ray":
        raise UsageError("--address without --engine ray: no cluster to connect to; need both; add it or drop this")
    if request.workers is not None and request.workers < 1:
        raise UsageError(f"--workers {request.workers}: need at least one; correct it")
    if request.retries < 0:
        raise UsageError(f"--retries {request.retries}: need 0 or more; correct it")


def _plan(lines: list[Line], settings: Settings, results: str) -> tuple[Summary, list[Line]]:
    """What is finished, and the lines that may have something left.

    Raises:
        OutputError: something finished was made with other weights, or as the other contrast.
    """
    summary, left = Summary(len(lines), results), []
    for line in lines:
        count = finished_series(line, settings.out, settings.searched, settings.facts.weights_sha256)
        summary.finished_before += count or 0
        if count is None:
            left.append(line)
    return summary, left


def _engine(request: ArchiveRequest, settings: Settings) -> Engine[Any]:
    if request.engine == "ray":
        from scripts.archive.ray_engine import RayEngine

        return RayEngine(settings, request.device, request.workers, request.address)
    from scripts.archive.local_engine import LocalEngine

    return LocalEngine(settings, request.device, request.workers)
