# SPDX-License-Identifier: Apache-2.0
"""From a site's own exams to a verdict: the one function behind ``kneesynth commission``."""

from __future__ import annotations

import datetime
import heapq
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.calibration.limits import local_limits, write_limits
from scripts.commissioning.judge import SHIPPED, judge, read_limits
from scripts.commissioning.measure import CONTRASTS, Measured, measure_pair, picture_of
from scripts.commissioning.page import HTML, Picture, render_page
from scripts.commissioning.record import REPORT, Record, Scored, read_record, write_record
from scripts.errors import KneeSynthError, UsageError, WeightsError
from scripts.pairing.manifest import KIND
from scripts.pairing.run import PairRequest, pair
from scripts.quality.limits import shipped_limits
from scripts.software import default_root, software_block
from scripts.synthesis.bundle import load_model
from scripts.synthesis.inference import Progress
from scripts.synthesis.staging import REPORT_NAME, check_writable, staged_output
from scripts.synthesis.uncertainty import load_head

PAIRS, RANGES, CALIBRATION = "pairs.json", "ranges.yaml", "calibration.json"
WORST = 3
"""Pairs of each direction that are shown."""
PARTNERLESS = "no_partner"


@dataclass(frozen=True)
class Request:
    """What to commission with.

    Args:
        studies: folder of exams with both contrasts, or a manifest of pairs.
        out: folder to write.
        limits: file of limits.
        compare: record of an earlier commissioning.
        device: ``auto``, ``cpu`` or ``cuda``.
        site: file of what a site's own series names mean.
        accept_simulated: take this project's simulated series.
        workers: exams that are paired at a time; None for one per core.
    """

    studies: Path
    out: Path
    limits: Path = SHIPPED
    compare: Path | None = None
    device: str = "auto"
    site: Path | None = None
    accept_simulated: bool = False
    workers: int | None = None


@dataclass
class _Walk:
    """What is kept of the pairs while they pass by."""

    scored: list[Scored] = field(default_factory=list)
    measures: dict[str, list[dict[str, float | None]]] = field(default_factory=lambda: {n: [] for n in CONTRASTS})
    scans: int = 0
    warned: int = 0
    unreadable: list[str] = field(default_factory=list)
    worst: dict[str, list[tuple[float, str, Picture]]] = field(default_factory=dict)

    def take(self, measured: Measured) -> None:
        self.scored += measured.scored
        for contrast, judgement in measured.judgements.items():
            self.scans += 1
            self.warned += bool(judgement.warnings or judgement.refusals)
            self.measures[contrast].append({name: entry["value"] for name, entry in judgement.measures.items()})
        for case, one in zip(measured.cases, measured.scored, strict=True):
            heap = self.worst.setdefault(one.direction, [])
            badness = -one.measures["psnr"]
            if len(heap) >= WORST and badness <= heap[0][0]:
                continue
            png, number = picture_of(case)
            words = f"{one.measures['psnr']:.1f} dB, {one.measures['over_intensity_mapping']:+.1f} dB over the mapping"
            picture = Picture(one.pair, one.direction, f"slice {number + 1}; {words}", png)
            (heapq.heappush if len(heap) < WORST else heapq.heappushpop)(heap, (badness, one.pair, picture))


def commission(request: Request, progress: Progress | None = None, bundle_root: Path | None = None) -> Record:
    """Pair, synthesise, score, judge and write.

    Written are ``commissioning.html`` and ``commissioning.json``, the manifest ``pairs.json`` with its page,
    ``ranges.yaml`` (for ``synthesize --gate``) and, with a scale head and enough patients, ``calibration.json`` (for
    ``synthesize --calibration``).

    Args:
        request: what to do.
        progress: called as the work goes on.
        bundle_root: bundle folder; by default the one this package belongs to.

    Raises:
        KneeSynthError: any refusal; nothing is then written.
    """
    tell = progress or (lambda text, done, total: None)
    limits = read_limits(request.limits)
    before = None if request.compare is None else read_record(request.compare)
    check_writable(request.out)
    root = default_root() if bundle_root is None else bundle_root
    model = load_model(CONTRASTS[1], request.device, root)
    try:
        head = load_head(root, model.facts)
    except WeightsError:  # a bundle without one is commissioned all the same, without a calibration
        head = None
    with staged_output(request.out) as stage:
        manifest, base = _manifest(request, stage, tell)
        entries = [_located(entry, base) for entry in manifest["pairs"]]
        if not entries:
            raise UsageError("no pair in these exams; need PD and PDFS of the same knee; kneesynth pair says why not")
        simulated = _simulated(entries)
        walk = _Walk()

        def passing() -> Iterator[Any]:
            for number, entry in enumerate(entries):
                tell("measuring pairs", number, len(entries))
                try:
                    measured = measure_pair(entry, model, None if head is None else head.network, lambda *_: None)
                except KneeSynthError as error:
                    walk.unreadable.append(f"{entry['id']}: {error}")
                    continue
                walk.take(measured)
                yield from measured.pairs
            tell("measuring pairs", len(entries), len(entries))

        calibration, why = _calibrated(passing(), head, simulated, stage)
        if not walk.scored:
            raise UsageError(f"none of {len(entries)} pairs can be scored ({walk.unreadable[0]}); check the files")
        own = local_limits(walk.measures, shipped_limits())
        write_limits(own, stage / RANGES)
        reasons = Counter(str(entry["reason"]) for entry in manifest.get("refused", ()))
        reasons["unreadable"] += len(walk.unreadable)
        judged, verdict, sentence = judge(
            walk.scored, limits, _refused_share(reasons, len(entries)), walk.warned / walk.scans
        )
        record = Record(
            date=datetime.date.today().isoformat(),
            software=software_block(vars(model.facts)),
            data={
                "pairs": len(walk.scored) // 2,
                "patients": len({one.patient for one in walk.scored}),
                "refused_pairs": sum(reasons.values()),
                "refused": {reason: count for reason, count in reasons.most_common() if count},
                "simulated": simulated,
                "calibration": why,
            },
            scored=tuple(walk.scored),
            judged=judged,
            verdict=verdict,
            sentence=sentence,
            gate={contrast: {k: (v.low, v.high) for k, v in ends.items()} for contrast, ends in own.warned.items()},
            calibration=calibration,
            worst={d: tuple(pair for _, pair, _ in sorted(heap, reverse=True)) for d, heap in walk.worst.items()},
        )
        pictures = [one for heap in walk.worst.values() for *_, one in sorted(heap, key=lambda e: e[:2], reverse=True)]
        (stage / HTML).write_text(render_page(record, pictures, shipped_limits(), before), encoding="utf-8")
        write_record(record, stage / REPORT)
        files = sorted(path.name for path in stage.iterdir() if path.is_file())
        report = {"kind": "commissioning", "verdict": verdict, "files": files}
        (stage / REPORT_NAME).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return record


def _manifest(request: Request, stage: Path, tell: Progress) -> tuple[dict[str, Any], Path]:
    """The pairs, and the folder that their paths are relative to."""
    if request.studies.suffix.lower() == ".json":
        try:
            content: dict[str, Any] = json.loads(request.studies.read_text(encoding="utf-8"))
            known = content["kind"] == KIND and isinstance(content["pairs"], list)
        except (OSError, ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise UsageError(
                f"{request.studies.name}: no manifest of pairs; need one of kneesynth pair; check the path"
            )
        return content, request.studies.absolute().parent
    made = pair(
        PairRequest(request.studies, stage / PAIRS, request.workers, request.accept_simulated, request.site), tell
    )
    for left in stage.iterdir():  # what pairing goes on from where it was ended, which here starts anew
        if left.is_dir():
            shutil.rmtree(left)
    return made.manifest, stage


def _located(entry: Mapping[str, Any], base: Path) -> dict[str, Any]:
    def absolute(source: str | Sequence[str]) -> str | list[str]:
        if isinstance(source, str):
            return str(base / source)
        return [str(base / name) for name in source]

    return {**entry, **{key: absolute(entry[key]) for key in ("image", "label")}}


def _simulated(entries: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these are simulated exams; both kinds at once have no mean that means anything.

    Raises:
        UsageError: both kinds.
    """
    from scripts.dicom.index import index_series

    kinds = set()
    for entry in entries:
        source = entry["image"]
        first = Path(source if isinstance(source, str) else source[0])
        stacks = [] if first.name.endswith((".nii", ".nii.gz")) else index_series([first])
        kinds.add(any(stack.simulated for stack in stacks))
    if len(kinds) > 1:
        raise UsageError("simulated and acquired exams at once; need one kind; commission each by itself")
    return kinds.pop()


def _calibrated(passing: Iterator[Any], head: Any, simulated: bool, stage: Path) -> tuple[dict[str, str], str]:
    """Calibrate on the pairs as they pass by; whatever happens, all of them do."""
    if head is None:
        for _ in passing:
            pass
        return {}, "this bundle has no scale head, so nothing was calibrated"
    from scripts.intervals.calibration import calibrate

    try:
        made = calibrate(
            passing, head.sha256, head.weights_sha256, reference="acquired", simulated=simulated, start=head.simulated
        )
    except UsageError as error:
        for _ in passing:
            pass
        return {}, str(error)
    (stage / CALIBRATION).write_text(made.text, encoding="utf-8")
    return {"file": CALIBRATION, "sha256": made.sha256}, ""


def _refused_share(reasons: Mapping[str, int], pairs: int) -> float | None:
    """Share of the exams with both contrasts that gave no pair; an exam that lacks one was never asked for."""
    refused = sum(count for reason, count in reasons.items() if reason != PARTNERLESS)
    return refused / (refused + pairs) if refused + pairs else None


def as_json(record: Record) -> dict[str, Any]:
    """A record for ``--json``."""
    return asdict(record)
