# SPDX-License-Identifier: Apache-2.0
"""The whole check: pairs listed, opened, looked at, compared with strangers, judged."""

from __future__ import annotations

import logging
import os
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from scripts.checking import findings as kinds
from scripts.checking.estimate import Estimate, estimate
from scripts.checking.findings import FIX, Finding, exit_code, ordered, singular, verdict
from scripts.checking.judge import judge_pairs, judge_patients, ranges_of
from scripts.checking.layout import Data, find_data
from scripts.checking.measures import unrelated
from scripts.checking.pair import Pair, keys_of, look_at, open_pair
from scripts.data.pairs import SECTIONS
from scripts.software import software_block

logger = logging.getLogger(__name__)

Tell = Callable[[str, int, int], None]
STRANGERS = 3
"""Other patients that each pair is compared with."""


@dataclass(frozen=True)
class Report:
    """What a check found.

    Args:
        data: what was pointed at.
        pairs: each as it was measured.
        findings: the gravest first.
        estimate: what training would take; None where it was not asked for.
    """

    data: Data
    pairs: Sequence[Pair]
    findings: Sequence[Finding]
    estimate: Estimate | None

    @property
    def exit_code(self) -> int:
        """See `findings.exit_code`."""
        return exit_code(self.findings)

    @property
    def verdict(self) -> str:
        """One line: ready, or what to fix first."""
        counts = [f"{sum(pair.section == section for pair in self.pairs)} {section}" for section in SECTIONS]
        patients = len({pair.patient for pair in self.pairs})
        return verdict(self.findings, f"{len(self.pairs)} pairs of {patients} patients ({', '.join(counts)})")


def run_check(
    path: Path,
    tell: Tell = lambda *_: None,
    config: Mapping[str, Any] | None = None,
    device: torch.device | None = None,
) -> Report:
    """Check a folder or a manifest.

    Args:
        path: of it.
        tell: is told what is being done, steps done and steps in all.
        config: ``train.yaml``, merged, to measure a training step; None measures none.
        device: where training would run; None leaves the estimate out.

    Raises:
        SourceError: there is nothing that could be a pair.
        UsageError: the path does not exist, or is a manifest that cannot be read.
    """
    data = find_data(path)
    pairs = measure_pairs(data.items, tell=tell)
    found = [*judge_pairs(pairs), *judge_patients(pairs)]
    if data.single:
        found.append(Finding(kinds.SINGLE, tuple(data.single), noun="entries"))
    if data.refused:
        found.append(Finding(kinds.REFUSED, tuple(f"number {n + 1}" for n in range(data.refused))))
    if any(pair.fit is not None and pair.stranger is None for pair in pairs):
        found.append(
            Finding(kinds.ALONE, tuple(pair.key for pair in pairs if pair.fit is not None and pair.stranger is None))
        )
    told = None
    if device is not None:
        tell("measuring a training step", 0, 1)
        told = estimate(pairs, config, device)
        tell("measuring a training step", 1, 1)
    return Report(data, pairs, ordered(found), told)


def measure_pairs(
    items: Sequence[Mapping[str, Any]], most: int | None = None, tell: Tell = lambda *_: None
) -> list[Pair]:
    """Open every pair and look at the slices of some.

    Args:
        items: with ``patient``, ``section``, ``image``, ``label`` and, where they were registered, ``slices``.
        most: how many to look at; None for all.
        tell: see `run_check`.
    """
    keys = keys_of(items)
    count = len(items)
    chosen = (
        range(count) if most is None or count <= most else {round(n * (count - 1) / (most - 1)) for n in range(most)}
    )
    workers = os.cpu_count() or 1
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # thumbnails are small: several at a time are faster than several threads for each

    def measure(number: int) -> Pair:
        pair, sources = open_pair(items[number], keys[number])
        if sources is None or number not in chosen:
            return pair
        return look_at(pair, sources, items[number])

    try:
        with torch.inference_mode(), ThreadPoolExecutor(workers) as pool:
            pairs = []
            for pair in pool.map(_in_inference(measure), range(count)):
                pairs.append(pair)
                tell("looking at pairs", len(pairs), count)
            compared = []
            for pair in pool.map(_in_inference(lambda pair: _beside_strangers(pair, pairs)), pairs):
                compared.append(pair)
                tell("comparing with strangers", len(compared), count)
            return compared
    finally:
        torch.set_num_threads(threads)


def _in_inference(work: Callable[..., Pair]) -> Callable[..., Pair]:
    def inside(argument: Any) -> Pair:
        with torch.inference_mode():  # which is each thread's own
            return work(argument)

    return inside


def _beside_strangers(pair: Pair, pairs: Sequence[Pair]) -> Pair:
    """Compare a pair's PD with the PDFS of a few other patients, of the same plane where there are such."""
    if pair.pictures is None or pair.grids is None:
        return pair
    others = [one for one in pairs if one.pictures is not None and one.patient != pair.patient]
    alike = [one for one in others if one.grids is not None and one.grids[0].plane == pair.grids[0].plane] or others
    if not alike:
        return pair
    chosen = random.Random(pair.key).sample(alike, min(STRANGERS, len(alike)))
    found = [unrelated(pair.pictures[0].float(), one.pictures[1].float()) for one in chosen if one.pictures is not None]
    peaks, shared = zip(*found, strict=True)
    return replace(pair, stranger=(statistics.median(peaks), statistics.median(shared)))


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain values."""
    pairs = []
    for pair in report.pairs:
        entry: dict[str, Any] = {"key": pair.key, "patient": pair.patient, "section": pair.section}
        if pair.grids is not None:
            entry |= {
                "plane": pair.grids[0].plane,
                "shape": [list(grid.shape) for grid in pair.grids],
                "spacing_mm": [[round(size, 4) for size in grid.spacing_mm] for grid in pair.grids],
                "registered": pair.mapped,
            }
        if pair.fit is not None and pair.looks is not None:
            entry |= {
                "shift_mm": round(pair.fit.shift_mm, 2),
                "information": _rounded(pair.information),
                "edges": _rounded(pair.peak),
                "flip": pair.fit.flip_name,
                "bright_end": [_rounded(one.bright) for one in pair.looks],
                "lowest": [_rounded(one.low) for one in pair.looks],
                "fat_polarity": [_rounded(one.polarity) for one in pair.looks],
            }
        pairs.append(entry)
    return {
        "kind": "knee data check",
        "version": 1,
        "program": software_block(None),
        "layout": report.data.layout,
        "verdict": report.verdict,
        "ready": report.exit_code == 0,
        "exit_code": report.exit_code,
        "sections": {
            section: {
                "pairs": sum(pair.section == section for pair in report.pairs),
                "patients": len({pair.patient for pair in report.pairs if pair.section == section}),
            }
            for section in SECTIONS
        },
        "ranges": {
            name: [_rounded(min(values.values())), _rounded(statistics.median(values.values())),
                   _rounded(max(values.values()))]
            for name, values in ranges_of(report.pairs).items()
        },
        "findings": [
            {
                "code": one.kind.code,
                "grave": one.kind.grave,
                "sentence": one.sentence,
                "todo": one.kind.todo,
                "about": [{"key": key, "words": words} for key, words in _words(one)],
            }
            for one in report.findings
        ],
        "estimate": None if report.estimate is None else vars(report.estimate) | {"sentence": report.estimate.sentence},
        "pairs": pairs,
    }  # fmt: skip


def worst(report: Report, count: int = 8) -> list[Pair]:
    """The pairs to look at first: what has to be fixed, then what is doubtful, then the least alike."""
    grave: dict[str, int] = {}
    for place, finding in enumerate(report.findings):
        for key in finding.about:
            grave[key] = min(grave.get(key, 10**6), place + (0 if finding.kind.grave == FIX else 1000))
    return sorted(
        report.pairs, key=lambda pair: (grave.get(pair.key, 10**6), pair.information or 0.0 if pair.fit else 0.0)
    )[:count]


def words_about(report: Report, key: str) -> list[str]:
    """What was found of one pair, in words."""
    found = []
    for finding in report.findings:
        for about, words in _words(finding):
            if about == key:
                found.append(singular(finding.kind.title) + (f": {words}" if words else ""))
    return found


def _words(finding: Finding) -> list[tuple[str, str]]:
    words = finding.words if len(finding.words) == len(finding.about) else ("",) * len(finding.about)
    return list(zip(finding.about, words, strict=True))


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
