# SPDX-License-Identifier: Apache-2.0
"""Score any method's images: the one function behind ``kneesynth evaluate --predictions``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.errors import UsageError
from scripts.evaluation.benchmark import BENCHMARK, benchmark_notes, cached_benchmark
from scripts.evaluation.boxes import SHOWN, Box, read_boxes
from scripts.evaluation.found import Found, find_volumes
from scripts.evaluation.items import Item, find_targets, match, with_volumes
from scripts.evaluation.lesions import LesionScore, lesion_table, score_boxes, score_twins
from scripts.evaluation.loading import OF_TARGET, OWN, Settings, load_case
from scripts.evaluation.masks import find_masks
from scripts.evaluation.products import write_products
from scripts.handlers.score_files import Scores, gather, head_lines
from scripts.metrics.cases import score_case
from scripts.metrics.measures import MeasureScore, measure_case
from scripts.metrics.protocols import OURS, Protocol, protocol
from scripts.metrics.summary import RESAMPLES, CaseScore
from scripts.synthesis.products import STORED_SCALE
from scripts.synthesis.staging import check_writable

Progress = Callable[[str, int, int], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to evaluate.

    Args:
        predictions: any method's images: NIfTI or DICOM, named as the targets.
        targets: folder or manifest of targets, or ``benchmark-v1``.
        out: folder for tables, figures and page.
        sources: folder of what the predictions were made from, where it is not beside the targets.
        masks: folder of tissue masks.
        lesions: CSV file of boxes.
        lesion_frame: in which picture boxes were drawn, see `scripts.evaluation.boxes`.
        protocols: names of rulers, at least one.
        direction: as ``PD to PDFS``.
        method: name of the method in tables.
        scale: of the predictions: a number, ``own`` or ``target``; None for the documented one of this project's
            images, and ``own`` for others.
        section: of a manifest.
        simulated: the targets are simulated, whatever they look like.
        resample: interpolate predictions on another grid.
        allow_missing: leave targets without a prediction out.
        figures: draw them; else tables and a page of tables alone.
        cache: folder of caches.
        seed: of the bootstrap.
        resamples: of the bootstrap.
    """

    predictions: Path
    targets: str
    out: Path
    sources: Path | None = None
    masks: Path | None = None
    lesions: Path | None = None
    lesion_frame: str = SHOWN
    protocols: tuple[str, ...] = (OURS.name,)
    direction: str = "PD to PDFS"
    method: str = "prediction"
    scale: str | None = None
    section: str | None = None
    simulated: bool = False
    resample: bool = False
    allow_missing: bool = False
    figures: bool = True
    cache: Path = Path(".cache")
    seed: int = 0
    resamples: int = RESAMPLES


@dataclass
class _Rows:
    """What was measured so far."""

    cases: list[CaseScore] = field(default_factory=list)
    measures: list[MeasureScore] = field(default_factory=list)
    lesions: list[LesionScore] = field(default_factory=list)


def evaluate_predictions(request: Request, progress: Progress | None = None) -> tuple[Scores, dict[str, Any]]:
    """Score predictions against targets and write tables, figures and a page.

    Returns:
        The scores, and the content of ``report.json``.

    Raises:
        KneeSynthError: any refusal; nothing is then written.
    """
    tell = progress or (lambda text, done, total: None)
    contrasts, rulers = contrasts_of(request.direction), [protocol(name) for name in dict.fromkeys(request.protocols)]
    check_writable(request.out)
    predictions = find_volumes(request.predictions, contrasts[1], "--predictions")
    boxes, studies = read_boxes(request.lesions, request.lesion_frame) if request.lesions else ({}, 0)
    settings = Settings(contrasts, _scale(request.scale, list(predictions.values())), request.resample, request.method)
    root = cached_benchmark(request.cache, tell) if request.targets == BENCHMARK else Path(request.targets)
    if not root.exists():
        raise UsageError(f"--targets {root.name}: not there; need a folder, a manifest or {BENCHMARK}; check the path")
    items = find_targets(root, contrasts, request.section)
    if request.simulated:
        items = [replace(item, simulated=True) for item in items]
    items, notes = match(items, predictions, request.allow_missing)
    if request.sources is not None:
        items = with_volumes(items, find_volumes(request.sources, contrasts[0], "--sources"))
    if request.masks is not None:
        masks, values = find_masks(request.masks, [item.key for item in items])
        settings = replace(settings, masks=masks, values=values)
    notes = [*benchmark_notes(root), *_notes(items, settings, predictions), *notes]
    if request.lesions:
        notes += _check_boxes(boxes, items, studies)
    rows = _Rows()
    for done, item in enumerate(items):
        tell("scoring", done, len(items))
        _score(item, items, settings, rulers, boxes, rows)
    tell("scoring", len(items), len(items))
    more = lesion_table(rows.lesions, request.seed, request.resamples)
    scores = gather(rows.cases, rows.measures, more, request.seed, request.resamples)
    head = head_lines(scores, request.seed, request.resamples, notes)
    report = write_products(
        request.out, scores, rows.lesions, head, {item.key: item for item in items}, settings, request.figures
    )
    return scores, report


def contrasts_of(direction: str) -> tuple[str, str]:
    """Source and target of a direction.

    Raises:
        UsageError: it is none.
    """
    known = {"PD to PDFS": ("PD", "PDFS"), "PDFS to PD": ("PDFS", "PD")}
    if direction not in known:
        raise UsageError(f'--direction {direction!r}; need "PD to PDFS" or "PDFS to PD"; correct it')
    return known[direction]


def _score(
    item: Item,
    items: Sequence[Item],
    settings: Settings,
    rulers: Sequence[Protocol],
    boxes: dict[str, list[Box]],
    rows: _Rows,
) -> None:
    loaded = load_case(item, settings)
    try:
        for ruler in rulers:
            rows.cases += score_case(loaded.case, ruler)
        rows.measures += measure_case(loaded.case, loaded.sigma)
        drawn = boxes.get(item.key) or boxes.get(item.patient) or []
        if drawn:
            rows.lesions += score_boxes(loaded, drawn, loaded.grid.slices_reversed)
        twin = next((other for other in items if other.key == item.twin), None) if item.twin else None
        if twin is not None:
            rows.lesions += score_twins(loaded, item, load_case(twin, settings), twin, settings)
    except ValueError as error:
        raise UsageError(f"case {item.key}: {str(error).rstrip('.')}; leave it out or write it again") from error


def _scale(wanted: str | None, predictions: Sequence[Found]) -> float | str:
    if wanted in (OWN, OF_TARGET):
        return wanted
    if wanted is not None:
        try:
            value = float(wanted)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise UsageError(f"--prediction-scale {wanted}; need a number above 0, {OWN} or {OF_TARGET}; correct it")
        return value
    ours = sum(found.ours for found in predictions)
    if ours in (0, len(predictions)):
        return STORED_SCALE if ours else OWN
    raise UsageError(
        f"{ours} of {len(predictions)} predictions are this project's, on its scale, and the others on an unknown one; "
        f"need one scale; name it with --prediction-scale, {STORED_SCALE:g} or {OWN}"
    )


def _notes(items: Sequence[Item], settings: Settings, predictions: dict[str, Found]) -> list[str]:
    own = "each target and source divided by its own 99.5th percentile in the body"
    notes = [f"direction {settings.direction}; {own}, {settings.scale_words}"]
    if settings.scale != OF_TARGET:
        notes.append("as stored: no number of a target reaches its prediction")
    if any(item.source is None for item in items):
        notes.append("some sources are not known: there are no baselines, no flicker and no automatic regions for them")
    if not any(item.slices is not None for item in items):
        notes.append("targets were not registered: they stand as they were given")
    if any(found.marked for found in predictions.values()):
        notes.append("predictions are DICOM with a word in a corner, which counts as error; score the NIfTI instead")
    if settings.resample:
        notes.append("predictions on another grid were interpolated linearly onto it, which costs sharpness")
    return notes


def _check_boxes(boxes: dict[str, list[Box]], items: Sequence[Item], studies: int) -> list[str]:
    names = {name for item in items for name in (item.key, item.patient)}
    known = {name: found for name, found in boxes.items() if name in names}
    if not known:
        there = ", ".join(list(boxes)[:3]) or "none"
        raise UsageError(f"--lesions: boxes for no case that is scored (there are: {there}); need the targets' names")
    if any(item.slices is not None for item in items if {item.key, item.patient} & known.keys()):
        raise UsageError(
            "--lesions with a manifest that aligns slices: boxes would have to move along; need pairs on one grid; "
            "leave one of the two out"
        )
    count, spare = sum(map(len, known.values())), sum(map(len, boxes.values())) - sum(map(len, known.values()))
    notes = [f"{count} lesion boxes; visible: contrast of at least 3 times the noise on the source, box against ring"]
    if spare:
        notes.append(f"{spare} boxes belong to no case that is scored")
    if studies:
        notes.append(f"{studies} labels of whole studies have no box and were left out")
    return notes
