# SPDX-License-Identifier: Apache-2.0
"""A score as a table to read and as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from scripts.clinic.plan import WORDS
from scripts.clinic.score import LARGEST_MEDIAN, LARGEST_P95, LEAST_ACCEPTED, PairScore, Score, Tally, Wrong

_HEAD = ("kind", "studies", "true pairs accepted", "false accepted", "right refusals", "slices kept", "wrong slices",
         "residual median [px]", "p95 [px]")  # fmt: skip


def as_markdown(score: Score) -> str:
    """The table by kind of study, the limits, and each thing that is wrong, one by one. All of it is simulated."""
    rows = [(kind, tally) for kind, tally in sorted(score.kinds.items())] + [("all", score.total)]
    lines = ["Simulated clinic; residual shift in pixels of PD, mean over the body of a slice.", ""]
    lines += [_row(_HEAD), _row(["---"] * len(_HEAD)), *(_row(_cells(kind, tally)) for kind, tally in rows), ""]
    total = score.total
    values = {
        "true pairs accepted": f"{total.accepted} of {total.pairs} (at least {LEAST_ACCEPTED:.0%})",
        "no false pair accepted": f"{len(score.false_pairs)} accepted",
        "every refusal for a right reason": f"{total.right} of {total.refusals}",
        "median residual shift": f"{_number(total.median)} px (under {LARGEST_MEDIAN:g})",
        "95th percentile of the residual shift": f"{_number(total.p95)} px (under {LARGEST_P95:g})",
        "no patient in two sections": f"{score.torn} patients",
    }
    lines += [f"- {'kept' if kept else 'MISSED'}: {name}: {values[name]}" for name, kept in score.limits.items()]
    lines.append(f"- told: patients of two spellings in two sections: {score.torn_spellings}")
    for title, found in _lists(score).items():
        lines += ["", f"{title}:", *(f"- {_line(one)}" for one in found)] if found else []
    return "\n".join(lines)


def as_json(score: Score) -> str:
    """The same as JSON; what is not a number is null."""
    content: dict[str, Any] = {
        "kind": "score of a simulated clinic",
        "version": 1,
        "limits": score.limits,
        "all": _plain(score.total),
        "kinds": {kind: _plain(tally) for kind, tally in sorted(score.kinds.items())},
        "pairs": [_pair(one) for one in score.pairs],
        "patients_torn": score.torn,
        "spellings_torn": score.torn_spellings,
    }
    content |= {title: [asdict(one) for one in found] for title, found in _lists(score).items()}
    return json.dumps(content, indent=1) + "\n"


def _lists(score: Score) -> dict[str, list[Wrong]]:
    return {
        "true pairs that were not accepted": score.missed_pairs,
        "pairs that are none and were accepted": score.false_pairs,
        "wrong reasons": score.wrong_reasons,
    }


def _line(wrong: Wrong) -> str:
    return f"{wrong.study} ({wrong.kind}: {WORDS[wrong.kind]}): said {wrong.given}; right: {wrong.right}"


def _cells(kind: str, tally: Tally) -> list[str]:
    return [
        kind,
        str(tally.studies),
        f"{tally.accepted} of {tally.pairs}" if tally.pairs else "",
        str(tally.false),
        f"{tally.right} of {tally.refusals}" if tally.refusals else "",
        f"{len(tally.slices)} of {tally.offered}" if tally.offered else "",
        str(tally.wrong_slices) if tally.slices else "",
        _number(tally.median) if tally.slices else "",
        _number(tally.p95) if tally.slices else "",
    ]


def _plain(tally: Tally) -> dict[str, Any]:
    return {
        "studies": tally.studies,
        "true_pairs": tally.pairs,
        "accepted": tally.accepted,
        "false_accepted": tally.false,
        "refusals": tally.refusals,
        "right_refusals": tally.right,
        "slices_offered": tally.offered,
        "slices_kept": len(tally.slices),
        "wrong_slices": tally.wrong_slices,
        "residual_px": {"median": _finite(tally.median), "p95": _finite(tally.p95)},
    }


def _pair(pair: PairScore) -> dict[str, Any]:
    return {
        "study": pair.study,
        "kind": pair.kind,
        "fat_displacement_px": round(pair.fat_displacement, 3),
        "slices": [[one.slice, round(one.pixels, 4), round(one.slices, 4)] for one in pair.slices],
    }


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "none"


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
