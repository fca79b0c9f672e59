# SPDX-License-Identifier: Apache-2.0
"""Score a manifest of pairs against the truth of a simulated clinic."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scripts.clinic.residual import SliceResidual, residuals
from scripts.clinic.truth import STUDIES, TruePair, TrueRefusal, TrueStudy, Truth
from scripts.errors import UsageError

LEAST_ACCEPTED, LARGEST_MEDIAN, LARGEST_P95 = 0.95, 0.3, 1.0
"""Limits: share of true pairs that are accepted; residual shift over all accepted slices [pixels of PD]."""

Place = tuple[str, str]
"""Folder of a study, folder of a series within it."""


@dataclass(frozen=True)
class Wrong:
    """Something that is not as it should be.

    Args:
        study: its folder.
        kind: of the study.
        given: what the manifest says.
        right: what would be right.
    """

    study: str
    kind: str
    given: str
    right: str


@dataclass(frozen=True)
class PairScore:
    """One accepted true pair.

    Args:
        study: its folder.
        kind: of the study.
        fat_displacement: of fat beside water on PD [pixels], see `truth.TruePair`.
        slices: those that are kept and show the body.
    """

    study: str
    kind: str
    fat_displacement: float
    slices: tuple[SliceResidual, ...]


@dataclass
class Tally:
    """Counts of one kind of study, or of all.

    Args:
        studies: number of them.
        pairs: true pairs.
        accepted: of these.
        false: accepted pairs that are none.
        refusals: things that have to be refused.
        right: of these, refused for a right reason.
        offered: slices of PD in the accepted pairs.
        slices: those that are kept and show the body.
    """

    studies: int = 0
    pairs: int = 0
    accepted: int = 0
    false: int = 0
    refusals: int = 0
    right: int = 0
    offered: int = 0
    slices: list[SliceResidual] = field(default_factory=list)

    def residual(self, share: float) -> float:
        """Quantile of the residual shift over the kept slices [pixels]; not a number where there are none."""
        return float(np.quantile([one.pixels for one in self.slices], share)) if self.slices else math.nan

    @property
    def median(self) -> float:
        """Median residual shift [pixels]."""
        return self.residual(0.5)

    @property
    def p95(self) -> float:
        """95th percentile of the residual shift [pixels]."""
        return self.residual(0.95)

    @property
    def wrong_slices(self) -> int:
        """Kept slices whose partner is the wrong one."""
        return sum(one.wrong_slice for one in self.slices)


@dataclass
class Score:
    """A manifest against the truth.

    Args:
        kinds: by kind of study.
        total: over all.
        pairs: the true ones that were accepted.
        missed_pairs: true pairs that were not accepted.
        false_pairs: accepted pairs that are none.
        wrong_reasons: what was not refused, or for another reason than a right one.
        torn: patients by their ID in more than one section.
        torn_spellings: patients of two spellings in more than one section; a program can only warn.
    """

    kinds: dict[str, Tally]
    total: Tally = field(default_factory=Tally)
    pairs: list[PairScore] = field(default_factory=list)
    missed_pairs: list[Wrong] = field(default_factory=list)
    false_pairs: list[Wrong] = field(default_factory=list)
    wrong_reasons: list[Wrong] = field(default_factory=list)
    torn: int = 0
    torn_spellings: int = 0

    @property
    def limits(self) -> dict[str, bool]:
        """Every limit, and whether it is kept."""
        total = self.total
        return {
            "true pairs accepted": total.accepted >= LEAST_ACCEPTED * total.pairs,
            "no false pair accepted": not self.false_pairs,
            "every refusal for a right reason": not self.wrong_reasons,
            "median residual shift": total.median < LARGEST_MEDIAN,
            "95th percentile of the residual shift": total.p95 < LARGEST_P95,
            "no patient in two sections": self.torn == 0,
        }

    @property
    def missed(self) -> list[str]:
        """The limits that are not kept."""
        return [name for name, kept in self.limits.items() if not kept]


def score_manifest(truth: Truth, path: Path) -> Score:
    """Score the manifest in a file.

    Raises:
        UsageError: no manifest of pairs.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries, refused = list(content["pairs"]), list(content["refused"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path.name}: no manifest of pairs ({type(error).__name__}); need that of `kneesynth pair`; check the path"
        ) from error
    return score_entries(truth, entries, refused, path.resolve().parent)


def score_entries(
    truth: Truth, entries: Sequence[Mapping[str, Any]], refused: Sequence[Mapping[str, Any]], base: Path
) -> Score:
    """Score entries of a manifest.

    Args:
        truth: of the clinic.
        entries: accepted pairs.
        refused: the others.
        base: folder that relative paths start from.

    Raises:
        UsageError: a pair that is not of this clinic, or whose slices are no entries.
    """
    score = Score({study.kind: Tally() for study in truth.studies})
    studies = {study.folder: study for study in truth.studies}
    tree = (truth.root / STUDIES).resolve()
    sections: dict[str, set[str]] = {}
    accepted: set[tuple[Place, Place]] = set()
    for number, entry in enumerate(entries, 1):
        image, label = (_place(entry.get(key), base, tree) for key in ("image", "label"))
        if image is None or label is None or image[0] not in studies or label[0] not in studies:
            raise UsageError(
                f"pair {number}: no series of this clinic; need the manifest of its tree; check both paths"
            )
        study = studies[image[0]]
        sections.setdefault(study.patient, set()).add(str(entry.get("section", "")))
        pair = _pair_of(studies, image, label)
        if pair is None or (image, label) in accepted:
            given = f"{'/'.join(image)} with {'/'.join(label)}"
            score.false_pairs.append(Wrong(study.folder, study.kind, given, "no pair" if pair is None else "once"))
        else:
            found = tuple(_residuals(truth, study, pair, entry, number))
            score.pairs.append(PairScore(study.folder, study.kind, pair.fat_displacement, found))
        for tally in (score.total, score.kinds[study.kind]):
            if pair is None or (image, label) in accepted:
                tally.false += 1
            else:
                tally.accepted += 1
                tally.offered += study.series[pair.image].shape[0]
                tally.slices += score.pairs[-1].slices
        accepted.add((image, label))
    told = [(_places(one, base, tree), str(one.get("patient", "")), str(one.get("reason", ""))) for one in refused]
    for study in truth.studies:
        tally = score.kinds[study.kind]
        for each in (score.total, tally):
            each.studies += 1
            each.pairs += len(study.pairs)
            each.refusals += len(study.refusals)
        for pair in study.pairs:
            if ((study.folder, pair.image), (study.folder, pair.label)) not in accepted:
                reasons = _reasons(study, (pair.image, pair.label), told)
                score.missed_pairs.append(Wrong(study.folder, study.kind, _said(reasons), "accepted"))
        for refusal in study.refusals:
            reasons = _reasons(study, refusal.series, told)
            if _is_right(refusal, reasons):
                tally.right, score.total.right = tally.right + 1, score.total.right + 1
            else:
                wanted = " or ".join(refusal.reasons)
                score.wrong_reasons.append(Wrong(study.folder, study.kind, _said(reasons), wanted))
    score.torn = sum(len(found) > 1 for found in sections.values())
    persons: dict[int, set[str]] = {}
    for study in truth.studies:
        persons.setdefault(study.person, set()).update(sections.get(study.patient, set()))
    score.torn_spellings = sum(len(found) > 1 for found in persons.values()) - score.torn
    return score


def _pair_of(studies: Mapping[str, TrueStudy], image: Place, label: Place) -> TruePair | None:
    if image[0] != label[0]:
        return None
    return next((p for p in studies[image[0]].pairs if (p.image, p.label) == (image[1], label[1])), None)


def _residuals(
    truth: Truth, study: TrueStudy, pair: TruePair, entry: Mapping[str, Any], number: int
) -> list[SliceResidual]:
    try:
        return residuals(
            study.series[pair.image],
            study.series[pair.label],
            np.asarray(pair.label_to_image),
            truth.body(study),
            entry.get("slices"),
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"pair {number}: {error}; need an entry of five numbers per kept slice") from error


def _place(value: Any, base: Path, tree: Path) -> Place | None:
    """Study and series of a path (the first of several) of a manifest."""
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, str) or not first:
        return None
    path = (base / first).resolve()  # an absolute path stays what it is
    if not path.is_relative_to(tree):
        return None
    parts = path.relative_to(tree).parts
    return (parts[0], parts[1]) if len(parts) > 1 else None


def _places(entry: Mapping[str, Any], base: Path, tree: Path) -> set[Place]:
    found = (_place(entry.get(key), base, tree) for key in ("image", "label"))
    return {place for place in found if place is not None}


def _reasons(study: TrueStudy, series: Sequence[str], told: Sequence[tuple[set[Place], str, str]]) -> set[str]:
    """Reasons that a manifest gives for any of some series, or, without files, for the patient."""
    wanted = {(study.folder, name) for name in series}
    return set(_matching(wanted, {study.folder, study.patient}, told))


def _matching(wanted: set[Place], names: set[str], told: Sequence[tuple[set[Place], str, str]]) -> Iterator[str]:
    for places, patient, reason in told:
        if places & wanted or (not places and patient in names):
            yield reason


def _is_right(refusal: TrueRefusal, reasons: set[str]) -> bool:
    return bool(reasons & set(refusal.reasons)) and reasons <= {*refusal.reasons, *refusal.tolerated}


def _said(reasons: set[str]) -> str:
    return ", ".join(sorted(reasons)) or "nothing"
