# SPDX-License-Identifier: Apache-2.0
"""From a folder of real PD to its scorecards: the one function behind ``kneesynth evaluate --scorecard``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.errors import SourceError, UsageError
from scripts.scorecard.card import score
from scripts.scorecard.region_sets import RegionSet, read_regions, shipped_regions
from scripts.scorecard.rows import Row, Verdict, compare, judge
from scripts.scorecard.sheet import draw_sheet
from scripts.software import software_block
from scripts.synthesis.bundle import Model, load_model
from scripts.synthesis.grid import affine_ras
from scripts.synthesis.inference import Progress, predict
from scripts.synthesis.jobs import dicom_job, nifti_job
from scripts.synthesis.run import refusals_unwrapped
from scripts.synthesis.selection import AmbiguousSource, Lift, choose
from scripts.synthesis.staging import PROGRAM, REPORT_NAME, check_writable, staged_output
from scripts.transforms.nifti import is_nifti
from scripts.transforms.orientation import display_plane

if TYPE_CHECKING:
    from scripts.dicom.index import Stack

KIND = "scorecard"
SOURCE, TARGET = "PD", "PDFS"

_ECHO_TOLERANCE = 0.0005  # seconds
_NEIGHBOUR = 1.5  # a second echo is compared if it is no later than this multiple of the first


@dataclass(frozen=True)
class Request:
    """What to score.

    Args:
        source: DICOM folder or file, or one NIfTI file of PD.
        regions: files of regions; those shipped with this package are tried as well.
        series: stack ids or SeriesInstanceUIDs to score; empty for all PD stacks.
        weights: weights to measure; None for the bundle's own.
        out: folder for report and pictures; None writes nothing.
        compare: report of another scorecard.
        device: ``auto``, ``cpu`` or ``cuda``.
        force: score sound stacks that the model was not made for.
    """

    source: Path
    regions: tuple[Path, ...] = ()
    series: tuple[str, ...] = ()
    weights: Path | None = None
    out: Path | None = None
    compare: Path | None = None
    device: str = "auto"
    force: bool = False


@dataclass(frozen=True)
class Card:
    """One scored stack.

    Args:
        stack: stack id, or the word ``nifti``.
        plane: ``sagittal``, ``coronal`` or ``axial``.
        echo_time: seconds, where known.
        regions: title of the regions that were used; empty for none.
        rows: every row.
        verdict: what they come to.
        notes: one sentence each.
        picture: PNG of every third slice.
    """

    stack: str
    plane: str
    echo_time: float | None
    regions: str
    rows: tuple[Row, ...]
    verdict: Verdict
    notes: tuple[str, ...]
    picture: bytes = field(repr=False)


@dataclass(frozen=True)
class _Source:
    """A volume to score, and the echo it is compared with."""

    label: str
    loadable: str | list[str]
    echo_time: float | None = None
    echo: str | list[str] | None = None
    notes: tuple[str, ...] = ()


def run_scorecard(
    request: Request, progress: Progress | None = None, bundle_root: Path | None = None
) -> tuple[list[Card], dict[str, Any]]:
    """Synthesise PDFS from real PD and measure it.

    Args:
        request: what to score.
        progress: called as the work goes on.
        bundle_root: bundle folder; by default the one this package belongs to.

    Returns:
        The cards, and the content of ``report.json``.

    Raises:
        KneeSynthError: any refusal; nothing is then written.
    """
    tell = progress or (lambda text, done, total: None)
    given = [read_regions(path) for path in request.regions]
    other = None if request.compare is None else read_report(request.compare)
    if request.out is not None:
        check_writable(request.out)
    if not request.source.exists():
        raise UsageError(f"{request.source.name}: no such file or folder; need a folder of PD; check the path")
    sources = _sources(request, given)
    with refusals_unwrapped():
        model = load_model(TARGET, request.device, bundle_root, request.weights)
        cards = [_card(source, given, model, tell) for source in sources]
    if given and not any(card.regions in {regions.title for regions in given} for card in cards):
        misfits = "; ".join(note for card in cards for note in card.notes)
        raise UsageError(f"--regions fits no stack that was scored ({misfits}); need regions made for this knee")
    report = _report(cards, model, other)
    if request.out is not None:
        with staged_output(request.out) as stage:
            for card, name in zip(cards, report["files"], strict=False):
                (stage / name).write_bytes(card.picture)
            (stage / REPORT_NAME).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return cards, report


def read_report(path: Path) -> dict[str, Any]:
    """Read the report of an earlier scorecard.

    Raises:
        UsageError: not there, or something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path.name}: cannot be read as a scorecard; need its report.json; check --compare"
        ) from error
    cards = content.get("cards") if isinstance(content, dict) and content.get("kind") == KIND else None
    whole = isinstance(cards, list) and all(
        isinstance(card, dict)
        and isinstance(card.get("rows"), list)
        and all(isinstance(row, dict) and "key" in row and "value" in row for row in card["rows"])
        for card in cards
    )
    if not whole:
        raise UsageError(f"{path.name}: not a scorecard; need the report.json of one; check --compare")
    return dict(content)


def _sources(request: Request, given: Sequence[RegionSet]) -> list[_Source]:
    if request.source.is_file() and is_nifti(request.source):
        if request.series:
            raise UsageError("--series chooses among DICOM series; a NIfTI file is one volume; drop the option")
        return [_Source("nifti", nifti_job(request.source, TARGET).loadable)]
    from scripts.dicom.index import index_series

    stacks = index_series([request.source])
    if not stacks:
        raise SourceError("no DICOM series found; need a folder with real PD, or one NIfTI file; check the path")
    lift = Lift(force=request.force)
    wanted = list(request.series) or [stack.id for stack in _scored(stacks, [*given, *shipped_regions()], lift)]
    sources = []
    for name in wanted:
        choice = choose(stacks, TARGET, series=name, lift=lift).choices[0]
        job = dicom_job(choice, stacks, lift)
        echo = _second_echo(choice.stack, stacks)
        sources.append(
            _Source(
                label=choice.stack.id,
                loadable=job.loadable,
                echo_time=choice.stack.echo_time,
                echo=None if echo is None else [str(path) for path in echo.files],
                notes=choice.warnings,
            )
        )
    return sources


def _scored(stacks: Sequence[Stack], known: Sequence[RegionSet], lift: Lift) -> list[Stack]:
    """The PD stacks to score: of the echoes of one acquisition the one that known regions name."""
    found = [stack for stack in stacks if lift.candidate(stack, SOURCE)]
    if not found:
        raise AmbiguousSource(
            f"no usable {SOURCE} stack among {len(stacks)}; need real PD; give another folder", stacks
        )
    scored = []
    for uid in dict.fromkeys(stack.series_instance_uid for stack in found):
        echoes = [stack for stack in found if stack.series_instance_uid == uid]
        named = [stack for stack in echoes if any(_names(regions, stack) for regions in known)]
        if len(echoes) > 1 and len(named) != 1:
            raise AmbiguousSource(
                f"{len(echoes)} {SOURCE} stacks in one series and no regions that name one echo; need to know which; "
                "name one with --series ID",
                stacks,
            )
        scored += named or echoes
    return scored


def _names(regions: RegionSet, stack: Stack) -> bool:
    """Whether regions are made for the echo time and size of a stack."""
    times = regions.echo_times
    return (
        bool(times)
        and stack.echo_time is not None
        and abs(times[0] - stack.echo_time) <= _ECHO_TOLERANCE
        and regions.shape == (stack.slices, *stack.shape)
    )


def _second_echo(stack: Stack, stacks: Sequence[Stack]) -> Stack | None:
    """The next later echo of the same acquisition, if it still is a PD not much later."""
    if stack.echo_time is None:
        return None
    later = [
        other
        for other in stacks
        if other.series_instance_uid == stack.series_instance_uid
        and other.usable
        and other.contrast == SOURCE
        and (other.slices, other.shape, other.plane) == (stack.slices, stack.shape, stack.plane)
        and other.echo_time is not None
        and stack.echo_time < other.echo_time <= _NEIGHBOUR * stack.echo_time
    ]
    return min(later, key=lambda other: other.echo_time or 0.0, default=None)


def _card(source: _Source, given: Sequence[RegionSet], model: Model, tell: Progress) -> Card:
    data = predict(model, source.loadable, tell)
    image, pred = data["image"], data["pred"]
    affine = affine_ras(image)
    shape = tuple(image.shape[1:])
    notes = list(source.notes)
    used = None
    for regions in [*given, *shipped_regions()]:
        misfit = regions.misfit(shape, affine)
        if not misfit:
            used = regions
            break
        if regions in given:
            notes.append(f"regions {regions.title or 'without a title'}: {misfit}")
    if used is None:
        notes.append("no regions for this knee: rows of tissues are not measured")
    echo = None
    if source.echo is not None:
        made = predict(model, source.echo, tell)["pred"]
        echo = made[0].numpy() if made.shape == pred.shape else None
    spacing = np.linalg.norm(affine[:3, 1:3], axis=0)
    before, after = image[0].as_tensor().cpu().numpy(), pred[0].numpy()
    rows = tuple(score(before, after, used, echo, float(spacing.mean())))
    return Card(
        stack=source.label,
        plane=display_plane(affine, axis=0),
        echo_time=source.echo_time,
        regions="" if used is None else used.title,
        rows=rows,
        verdict=judge(rows),
        notes=tuple(notes),
        picture=draw_sheet(before, after, (SOURCE, TARGET)),
    )


def _report(cards: Sequence[Card], model: Model, other: Mapping[str, Any] | None) -> dict[str, Any]:
    names = [f"scorecard_{card.plane}_{card.stack}.png" for card in cards]
    entries = []
    for card, name in zip(cards, names, strict=True):
        entry: dict[str, Any] = {
            "stack": card.stack,
            "plane": card.plane,
            "echo_time_ms": None if card.echo_time is None else round(1000 * card.echo_time, 4),
            "regions": card.regions or None,
            "notes": list(card.notes),
            "rows": [row.as_dict() for row in card.rows],
            "verdict": {"word": card.verdict.word, "reason": card.verdict.reason},
            "picture": name,
        }
        if other is not None:
            entry["compared"] = [vars(change) for change in compare(_values_of(other, card), card.rows)]
        entries.append(entry)
    return {
        "program": PROGRAM,
        "kind": KIND,
        "status": "done",
        "source_contrast": SOURCE,
        "target_contrast": TARGET,
        "model": {"name": model.facts.name, "version": model.facts.version, "sha256": model.facts.weights_sha256},
        "software": software_block(vars(model.facts)),
        "cards": entries,
        "files": [*names, REPORT_NAME],
    }


def _values_of(report: Mapping[str, Any], card: Card) -> dict[str, float | None]:
    """The other report's values for the same stack, else for the only card of the same plane."""
    cards = report["cards"]
    same = [c for c in cards if c.get("stack") == card.stack and c.get("plane") == card.plane]
    same = same or [c for c in cards if c.get("plane") == card.plane]
    if len(same) != 1:
        return {}
    return {str(row["key"]): row["value"] for row in same[0]["rows"]}
