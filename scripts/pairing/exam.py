# SPDX-License-Identifier: Apache-2.0
"""All of one exam: its possible pairs measured, one partner chosen, the rest refused, as values that JSON keeps."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from scripts.pairing.candidates import Candidate, Exam
from scripts.pairing.measure import Measured, measure
from scripts.pairing.partners import Proposal, Refusal, propose
from scripts.pairing.settings import Settings

Outcome = dict[str, Any]
"""``pairs`` and ``refused`` of an exam: mappings of JSON's types."""


def pair_exam(exam: Exam, settings: Settings) -> Outcome:
    """Pair the series of one exam."""
    proposals, refusals = propose(exam)
    refused = [_refused(refusal) for refusal in refusals]
    pairs: list[dict[str, Any]] = []
    for proposal in proposals:
        entry, others = _chosen(proposal, settings)
        refused += others
        if entry is not None:
            pairs.append(entry)
    return {"pairs": _one_each(pairs, refused), "refused": refused}


def _chosen(proposal: Proposal, settings: Settings) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The one partner of a PD series by its pixels, and what was refused."""
    measured = [(label, measure(proposal.image, label, settings)) for label in proposal.labels]
    if proposal.undecided and measured[0][1].reason == "wrong_contrast":
        return _turned_around(proposal, settings, measured[0][1])
    fitting = [(label, found) for label, found in measured if not found.reason]
    if len(fitting) > 1:
        words = f"{len(fitting)} fat-suppressed series fit; need one: leave the others out, or list the pair in a CSV"
        refusal = Refusal("ambiguous_partner", words, proposal.image)
        return None, [_refused(refusal, fitting[0][1])]
    others = [_of(proposal.image, label, found) for label, found in measured if found.reason]
    if not fitting:
        return None, others
    label, found = fitting[0]
    entry = _of(proposal.image, label, found)
    entry["evidence"] |= {"contrast": [proposal.image.evidence, label.evidence]}
    return entry, others


def _turned_around(
    proposal: Proposal, settings: Settings, found: Measured
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """What the two series of an undecided pair make the other way round; else the refusal of the first way."""
    image, label = proposal.labels[0], proposal.image
    other_way = measure(image, label, settings)
    if other_way.reason == "wrong_contrast":
        words = "two PD series of one plane, neither with less fat than the other"
        return None, [_of(label, image, found) | {"words": words}]
    if other_way.reason:
        return None, [_of(image, label, other_way)]
    entry = _of(image, label, other_way)
    entry["evidence"] |= {"contrast": [image.evidence, f"{label.evidence}; beside PD its fat is dark"]}
    return entry, []


def _one_each(pairs: list[dict[str, Any]], refused: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A PDFS series is the partner of one PD series: of the one that it explains best."""
    kept: dict[str, dict[str, Any]] = {}
    for entry in sorted(pairs, key=lambda e: -e["scores"].get("lift", 0.0)):
        name = str(entry["label"])
        if name in kept:
            words = "its partner fits another PD series of the exam better"
            refused.append(entry | {"reason": "ambiguous_partner", "words": words})
        else:
            kept[name] = entry
    return [entry for entry in pairs if kept[str(entry["label"])] is entry]


def _of(image: Candidate, label: Candidate, found: Measured) -> dict[str, Any]:
    content = asdict(found)
    content["slices"] = [list(row) for row in found.slices]
    return {"image": image.source, "label": label.source, **content}


def _refused(refusal: Refusal, found: Measured | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"reason": refusal.reason, "words": refusal.words}
    for key, candidate in (("image", refusal.image), ("label", refusal.label)):
        if candidate is not None:
            entry[key] = candidate.source
            entry.setdefault("plane", candidate.plane)
    if found is not None:
        entry |= {"plane": found.plane, "scores": found.scores, "pictures": found.pictures}
    return entry
