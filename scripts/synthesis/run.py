# SPDX-License-Identifier: Apache-2.0
"""From an input path to a finished output folder: the one function behind ``kneesynth synthesize``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.errors import DecodeError, GateError, GeometryError, KneeSynthError, OutOfMemory
from scripts.software import default_root
from scripts.synthesis.audit import Trail, audited
from scripts.synthesis.bundle import Model, Transforms, load_model
from scripts.synthesis.gates import admit
from scripts.synthesis.inference import Progress, infer
from scripts.synthesis.jobs import Job, assemble
from scripts.synthesis.planning import Plan, Request, find_jobs
from scripts.synthesis.staging import check_writable, staged_output
from scripts.synthesis.verdicts import without_file_names

if TYPE_CHECKING:
    from scripts.synthesis.products import Synthesis
    from scripts.synthesis.uncertainty import Uncertainty


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
            model = load_model(plan.jobs[0].target, request.device, bundle_root, gate=request.gate)
            judge = judging(request, model, bundle_root or default_root(), tell) if request.uncertainty else None
            with staged_output(request.out) as stage:
                report = _make(request, plan, model, stage, tell, trail, judge)
        trail.warnings = [entry["warnings"] for entry in report["series"]]
    tell("writing", 1, 1)
    return report


Judge = Callable[[Job, Mapping[str, Any]], "Uncertainty"]
"""What is known of the errors of a job's synthesis, whose data hold ``image`` and ``pred``."""


def judging(request: Request, model: Model, root: Path, tell: Progress) -> Judge:
    """The scale head and the calibration that a request asks for, as one function.

    Raises:
        WeightsError: no head, or one of other weights.
        UsageError: a calibration that is none.
    """
    from scripts.synthesis.uncertainty import judge_synthesis, load_head, local_calibration, predicted_scale

    head = load_head(root, model.facts)
    local = None if request.calibration is None else local_calibration(request.calibration, head)

    def judge(job: Job, data: Mapping[str, Any]) -> Uncertainty:
        image, pred = data["image"], data["pred"]
        scale = predicted_scale(model, head, image, pred, job.target, tell)
        spacing = image.affine[:3, :3].norm(dim=0).tolist()[1:]
        simulated = job.source_facts.get("Origin") == "simulated"
        return judge_synthesis(image, pred, scale, job.target, head, (spacing[0], spacing[1]), local, simulated)

    return judge


def _make(
    request: Request, plan: Plan, model: Model, stage: Path, tell: Progress, trail: Trail, judge: Judge | None
) -> dict[str, Any]:
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
                data = read_admitted(job, model, request.lift.force)
                data |= infer(model, data["image"], tell)
                if judge is not None:
                    data["uncertainty"] = judge(job, data)
                tell("writing", 0, 1)
                products.add(finish(job, data, model), facts([data["device"]]))
                devices.append(data["device"])
        except (DecodeError, GateError, GeometryError) as error:
            # Tracebacks hold the volumes of the series.
            error.__cause__ = error.__context__ = None
            refused[job.label] = error.with_traceback(None)
        data = {}  # before the next one is made
    left: dict[str, str] = {}
    for job in plan.jobs:
        if job.label in refused:
            trail.add(refused[job.label].exit_code, job, job.warnings)
            files = (job.source,) if isinstance(job.source, Path) else job.source
            left[job.label] = without_file_names(str(refused[job.label]), files)
    trail.jobs = [job for job in plan.jobs if job.label not in refused]
    if not products.entries:
        raise next(iter(refused.values()))
    found = [one.skipped(left[one.stack]) if one.stack in left else one for one in plan.found]
    return products.close(facts(devices), found)


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


def read_admitted(job: Job, transforms: Transforms, force: bool) -> dict[str, Any]:
    """Load and preprocess one volume, and ask the gate.

    Raises:
        GateError: its pixels are not what the model was made for, and nothing is lifted.
    """
    from scripts.transforms.quality import quality_of

    data = transforms.preprocessing({"image": job.loadable})
    admit(job.label if job.label == "nifti" else f"stack {job.label}", quality_of(data["result"]), force)
    return data


def finish(job: Job, data: Mapping[str, Any], transforms: Transforms) -> Synthesis:
    """Put what `infer` gives back on the axes and scale of its source, with what belongs beside it.

    Raises:
        GeometryError: the synthesis does not lie on its source's voxels.
    """
    from scripts.synthesis.products import STORED_SCALE

    pred = transforms.postprocessing(data)["pred"]
    item = assemble(job, data["image"], pred, transforms.preprocessing, data["result"])
    item = replace(item, warnings=(*item.warnings, *data["notes"]))
    if "uncertainty" not in data:
        return item
    judged = data["uncertainty"]
    placed = transforms.postprocessing({**data, "pred": judged.values})["pred"] / STORED_SCALE
    return replace(item, uncertainty=judged, uncertain=placed, warnings=(*item.warnings, judged.says))
