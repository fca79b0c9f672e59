# SPDX-License-Identifier: Apache-2.0
"""From scores to a verdict: each limit by itself, then one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from scripts.commissioning.record import FAIL, NO_VERDICT, PASS, Judged, Scored
from scripts.errors import UsageError
from scripts.metrics.summary import Estimate, bootstrap_mean

SHIPPED = Path(__file__).with_name("limits.yaml")

MEASURES: Mapping[str, str] = {
    "psnr": "PSNR [dB]",
    "ssim": "SSIM",
    "psnr_gain_matched": "PSNR, gain matched [dB]",
    "over_copy": "over copying the source [dB]",
    "over_histogram_match": "over histogram match [dB]",
    "over_intensity_mapping": "over the best intensity mapping [dB]",
    "flicker": "flicker between slices",
    "fat_error": "error of fat over muscle, relative",
}
"""What is measured of each pair and direction, by its title."""

SMALLER_IS_BETTER = frozenset({"flicker", "fat_error"})

REFUSED, WARNED = "refused", "warned"
_OF_THE_DATA = {REFUSED: "share of pairs refused", WARNED: "share of scans the gate warns of"}

Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class Limits:
    """What a site's exams have to show.

    Attributes:
        patients: fewer give no verdict.
        refused: most of the pairs that may be refused, a share.
        warned: most of the scans that the gate may warn of, a share.
        measures: least and most of the mean over patients, by name.
    """

    patients: int
    refused: float
    warned: float
    measures: Mapping[str, Ends]


def read_limits(path: Path = SHIPPED) -> Limits:
    """Read a file of limits.

    Raises:
        UsageError: no such file, an unknown measure or what is no limit.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        measures = {str(name): _ends(value) for name, value in content["measures"].items()}
        limits = Limits(int(content["patients"]), float(content["refused"]), float(content["warned"]), measures)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path.name}: no file of limits ({type(error).__name__}); need patients, refused, warned and measures; "
            "start from scripts/commissioning/limits.yaml"
        ) from error
    if unknown := [name for name in measures if name not in MEASURES]:
        raise UsageError(f"{path.name}: unknown measure {unknown[0]!r}; need one of {', '.join(MEASURES)}; correct it")
    return limits


def _ends(value: Any) -> Ends:
    low, high = (None if end is None else float(end) for end in value)
    return low, high


def title_of(measure: str) -> str:
    """The name of a measure for people."""
    return MEASURES.get(measure) or _OF_THE_DATA[measure]


def per_patient(scored: Sequence[Scored], direction: str, measure: str) -> dict[str, float]:
    """One value per patient: the mean over the patient's pairs, so that no one counts twice."""
    values: dict[str, list[float]] = {}
    for one in scored:
        if one.direction == direction and measure in one.measures:
            values.setdefault(one.patient, []).append(one.measures[measure])
    return {patient: sum(mine) / len(mine) for patient, mine in values.items()}


def estimate(values: Sequence[float]) -> Estimate:
    """Mean over patients with its bootstrap interval."""
    return bootstrap_mean(torch.tensor(list(values), dtype=torch.float64))


def judge(
    scored: Sequence[Scored], limits: Limits, refused: float | None, warned: float | None
) -> tuple[tuple[Judged, ...], str, str]:
    """Hold what was found against the limits.

    Args:
        scored: every pair in every direction that was asked for.
        limits: what is accepted.
        refused: share of the exams with both contrasts whose pair was refused; None where pairs were handed over.
        warned: share of the scans that the gate warned of; None where it could not look.

    Returns:
        Every limit, the verdict, and the verdict in one sentence. The mean decides; its interval says how sure it is.
    """
    judged = [
        Judged("", name, value, None, None, (None, most), value is not None and value <= most)
        for name, value, most in ((REFUSED, refused, limits.refused), (WARNED, warned, limits.warned))
        if value is not None
    ]
    for direction in dict.fromkeys(one.direction for one in scored):
        for measure, (low, high) in limits.measures.items():
            values = list(per_patient(scored, direction, measure).values())
            if not values:
                judged.append(Judged(direction, measure, None, None, None, (low, high), False))
                continue
            mean = estimate(values)
            within = (low is None or mean.mean >= low) and (high is None or mean.mean <= high)
            least, most = (None, None) if mean.low != mean.low else (mean.low, mean.high)
            judged.append(Judged(direction, measure, mean.mean, least, most, (low, high), within))
    patients = len({one.patient for one in scored})
    if patients < limits.patients:
        words = f"{patients} patients with a pair; need {limits.patients} for a verdict: add exams."
        return tuple(judged), NO_VERDICT, words
    missed = [one for one in judged if not one.passed]
    if not missed:
        return tuple(judged), PASS, f"Every limit is kept on {patients} patients."
    told = "; ".join(_words(one) for one in missed[:4]) + (f"; and {len(missed) - 4} more" if len(missed) > 4 else "")
    return tuple(judged), FAIL, f"{len(missed)} of {len(judged)} limits are missed on {patients} patients: {told}."


def _words(one: Judged) -> str:
    low, high = one.limit
    value = "not measured" if one.value is None else f"{one.value:.3g}"
    ends = f"least {low:g}" if high is None else f"most {high:g}" if low is None else f"{low:g} to {high:g}"
    return f"{title_of(one.measure)}{f', {one.direction}' if one.direction else ''}: {value} ({ends})"
