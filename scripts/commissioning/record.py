# SPDX-License-Identifier: Apache-2.0
"""What a commissioning found, for machines: written once, compared with years later."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.errors import UsageError
from scripts.handlers.files import write_text_atomically

KIND, VERSION = "commissioning", 1
REPORT = "commissioning.json"

PASS, FAIL, NO_VERDICT = "pass", "fail", "no verdict"


@dataclass(frozen=True)
class Scored:
    """One pair in one direction.

    Attributes:
        patient: key of the patient in the data.
        pair: id of the pair in the manifest.
        direction: for example ``PD to PDFS``.
        measures: value by name; what could not be measured is left out.
    """

    patient: str
    pair: str
    direction: str
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Judged:
    """One limit and what was found.

    Attributes:
        direction: of the synthesis; empty for what concerns the data.
        measure: what was measured.
        value: mean over patients; None where it could not be measured.
        low: of its 95 % interval over patients; None for fewer than two.
        high: of it.
        limit: ends of what is accepted, None is open.
        passed: whether the value lies within; a value that is missing does not.
    """

    direction: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    limit: tuple[float | None, float | None]
    passed: bool


@dataclass(frozen=True)
class Record:
    """All of one commissioning.

    Attributes:
        date: of the day, ISO 8601.
        software: `scripts.software.software_block`.
        data: counts: ``pairs``, ``patients``, ``refused`` by reason, ``simulated``.
        scored: every pair in both directions.
        judged: every limit.
        verdict: `PASS`, `FAIL` or `NO_VERDICT`.
        sentence: the verdict in words.
        gate: recommended ranges of the input gate by contrast and measure.
        calibration: name and sha256 of the local calibration of the uncertainty; empty without one.
        worst: ids of the worst pairs, worst first, by direction.
    """

    date: str
    software: Mapping[str, Any]
    data: Mapping[str, Any]
    scored: tuple[Scored, ...]
    judged: tuple[Judged, ...]
    verdict: str
    sentence: str
    gate: Mapping[str, Mapping[str, tuple[float | None, float | None]]] = field(default_factory=dict)
    calibration: Mapping[str, str] = field(default_factory=dict)
    worst: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def write_record(record: Record, path: Path) -> None:
    """Write a record as JSON; numbers to five digits, what is no number as null."""
    content = {"kind": KIND, "version": VERSION, **asdict(record)}
    write_text_atomically(path, json.dumps(_plain(content), indent=1, ensure_ascii=False) + "\n")


def read_record(path: Path) -> Record:
    """Read what `write_record` wrote.

    Raises:
        UsageError: no such file, or one of another kind or version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path.name}: no readable JSON; need {REPORT} of an earlier commissioning; check the path"
        ) from error
    if not isinstance(content, dict) or (content.pop("kind", None), content.pop("version", None)) != (KIND, VERSION):
        raise UsageError(f"{path.name}: no commissioning of version {VERSION}; need {REPORT}; check the path")
    try:
        content["scored"] = tuple(Scored(**one) for one in content["scored"])
        content["judged"] = tuple(Judged(**(one | {"limit": tuple(one["limit"])})) for one in content["judged"])
        return Record(**content)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path.name}: an altered commissioning; need {REPORT} as it was written") from error


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
