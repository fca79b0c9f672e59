# SPDX-License-Identifier: Apache-2.0
"""What is done to one series, cut where another process may go on: find, read, network, write.

Each is a plain function of small descriptions and of what the one before it made, so that any engine can run it
anywhere that sees the same files. A refusal comes back as a `Failure`, since not every exception survives the way
between processes.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from scripts.archive.finished import is_finished, remember_study
from scripts.archive.manifest import Line
from scripts.errors import (
    TRANSIENT,
    KneeSynthError,
    UsageError,
    WeightsError,
    describe_unforeseen,
    refusal,
)
from scripts.software import default_root
from scripts.synthesis.bundle import Model, ModelFacts, Transforms, load_model, load_transforms, read_facts
from scripts.synthesis.inference import infer
from scripts.synthesis.jobs import Job
from scripts.synthesis.narrowing import Narrowing
from scripts.synthesis.planning import Request, find_jobs
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.run import finish, read_admitted, refusals_unwrapped
from scripts.synthesis.selection import Lift
from scripts.synthesis.staging import staged_output


@dataclass(frozen=True)
class Settings:
    """What all series of a run share; goes to every process.

    Args:
        out: output folder.
        facts: the weights to use; a machine that has others refuses.
        formats: any of ``dicom`` and ``nifti``; None for all that a source allows.
        lift: which refusals are lifted.
        site: file of what the site's own series names mean; at the same path for every process.
        bundle_root: bundle folder; by default the one this package belongs to.
        show: what the products show besides the synthesis.
        only: which candidate series of a study count.
        gate: file of the site's own ranges of the gate; at the same path for every process.
    """

    out: Path
    facts: ModelFacts
    formats: tuple[str, ...] | None = None
    lift: Lift = field(default_factory=Lift)
    site: Path | None = None
    bundle_root: Path | None = None
    show: Presentation = field(default_factory=Presentation)
    only: Narrowing = field(default_factory=Narrowing)
    gate: Path | None = None

    @property
    def searched(self) -> dict[str, Any]:
        """How the series of a study are chosen; another answer may find others."""
        names = None if self.site is None else hashlib.sha256(self.site.read_bytes()).hexdigest()[:16]
        only = {"plane": ",".join(self.only.planes), "match": self.only.match} if self.only else {}
        return asdict(self.lift) | ({} if names is None else {"site": names}) | only


@dataclass(frozen=True)
class Series:
    """One series to make.

    Args:
        name: its folder below the output folder.
        line: where the manifest names it.
        job: what it is made of.
        formats: what is written of it.
    """

    name: str
    line: Line
    job: Job
    formats: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What a manifest line gives.

    Args:
        series: those that are not finished.
        finished: how many are.
    """

    series: tuple[Series, ...]
    finished: int


@dataclass(frozen=True)
class Failure:
    """Why a stage did not do its work.

    Args:
        exit_code: that of ``kneesynth synthesize`` for the same.
        message: one line.
    """

    exit_code: int
    message: str

    @property
    def transient(self) -> bool:
        """Whether another attempt may end otherwise."""
        return self.exit_code in TRANSIENT

    def error(self) -> KneeSynthError:
        """The same as the exception that ends a run."""
        return refusal(self.exit_code, self.message)


@dataclass(frozen=True)
class Note:
    """The small part of what a stage gives back: all that is looked at where the run is steered.

    Args:
        seconds: how long it took.
        value: what it found out.
        failure: why it failed, if it did.
    """

    seconds: float
    value: Any = None
    failure: Failure | None = None


#: A stage gives a small value for its `Note` and whatever the next stage needs, which stays where it was made.
Stage = Callable[..., tuple[Any, Any]]


def perform(stage: Stage, *arguments: Any) -> tuple[Note, Any]:
    """Run a stage; whatever it raises comes back in the note."""
    started = time.monotonic()
    try:
        with refusals_unwrapped():
            value, product = stage(*arguments)
    except KneeSynthError as error:
        failure = Failure(error.exit_code, " ".join(str(error).split()))
        return Note(time.monotonic() - started, failure=failure), None
    except Exception as error:
        failure = Failure(KneeSynthError.exit_code, describe_unforeseen(error))
        return Note(time.monotonic() - started, failure=failure), None
    return Note(time.monotonic() - started, value), product


def find(settings: Settings, line: Line) -> tuple[Found, None]:
    """Find the series of a manifest line by their headers, and write down which a study has.

    Raises:
        KneeSynthError: there is none, or none that can be used.
    """
    plan = find_jobs(
        Request(
            inputs=(line.source,),
            out=settings.out / line.name,
            target=line.target,
            series=line.series,
            all_series=not line.single,
            formats=settings.formats,
            lift=settings.lift,
            site=settings.site,
            show=settings.show,
            only=Narrowing() if line.single else settings.only,
        )
    )
    if line.single:
        named = {line.name: plan.jobs[0]}
    else:
        named = {f"{line.name}/{job.label}": job for job in plan.jobs}
        uids = {job.label: job.identifiers["series_instance_uid"] for job in plan.jobs}
        remember_study(line, settings.out, settings.searched, uids)
    weights = settings.facts.weights_sha256
    missing = {name: job for name, job in named.items() if not is_finished(settings.out / name, job.target, weights)}
    series = tuple(Series(name, line, job, plan.formats) for name, job in missing.items())
    return Found(series, len(named) - len(missing)), None


def read(settings: Settings, series: Series) -> tuple[None, dict[str, Any]]:
    """Load and preprocess a series.

    Raises:
        KneeSynthError: it cannot be read.
    """
    transforms = _transforms(series.job.target, settings.bundle_root, settings.gate)
    return None, read_admitted(series.job, transforms, settings.lift.force)


def write(
    settings: Settings, series: Series, facts: Mapping[str, str], data: Mapping[str, Any], made: Mapping[str, Any]
) -> tuple[list[str], None]:
    """Write all products of a series, or nothing; gives the warnings that they hold.

    Args:
        settings: of the run.
        series: what it is.
        facts: about its making, for page and report.
        data: what `read` gave.
        made: what `Device.infer` made of it.

    Raises:
        OutputError: they cannot be written.
    """
    from scripts.synthesis.products import write_products

    transforms = _transforms(series.job.target, settings.bundle_root, settings.gate)
    item = finish(series.job, {**data, **made}, transforms)
    with staged_output(settings.out / series.name) as stage:
        report = write_products(stage, item, settings.facts, series.formats, facts, settings.show)
    return report["series"][0]["warnings"], None


class Device:
    """One network on one device, for both directions; what an engine keeps one of per device.

    Args:
        settings: of the run.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: of the processor, that one network uses.
    """

    def __init__(self, settings: Settings, device: str, threads: int) -> None:
        self.settings, self.device, self.threads = settings, device, threads
        self.models: dict[str, Model] = {}

    def prepare(self) -> tuple[None, None]:
        """Find out what could keep every series from being made.

        Raises:
            WeightsError: other weights than the run's, or none.
            UsageError: no such device.
        """
        import torch

        torch.set_num_threads(self.threads)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("device cuda: no CUDA device found; need one; use --device cpu")
        if read_facts_of(self.settings.bundle_root) != self.settings.facts:
            raise WeightsError(
                f"{socket.gethostname()}: holds another version or other weights; need those that the run was started "
                "with on every machine; bring them all to one version"
            )
        return None, None

    def infer(self, target: str, data: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        """Run the network over what `read` gave, see `scripts.synthesis.inference.infer`."""
        if target not in self.models:
            self.models[target] = load_model(target, self.device, self.settings.bundle_root)
        model = self.models[target]
        made = infer(model, data["image"], lambda text, done, total: None)
        return {"device": made["device"], "worker": f"{socket.gethostname()}:{os.getpid()}"}, made


def read_facts_of(bundle_root: Path | None) -> ModelFacts:
    """Name and hash of a bundle's weights, by default of the one this package belongs to."""
    return read_facts(default_root() if bundle_root is None else bundle_root)


@lru_cache(maxsize=2)
def _transforms(target: str, bundle_root: Path | None, gate: Path | None) -> Transforms:
    return load_transforms(target, bundle_root, gate)
