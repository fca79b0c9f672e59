# SPDX-License-Identifier: Apache-2.0
"""What an output folder already holds: decided by finished folders, never by a log.

A series is finished when its folder has the ``report.json`` that moves in last. A study's folder has a ``study.json``
with the series that were found in it, so that a finished study is known without reading its headers again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.archive.manifest import Line
from scripts.errors import OutputError
from scripts.synthesis.staging import PROGRAM, REPORT_NAME

STUDY_NAME = "study.json"


def is_finished(folder: Path, target: str, weights_sha256: str) -> bool:
    """Whether a series' folder is whole.

    Args:
        folder: where its products are, or would be.
        target: contrast that is asked for.
        weights_sha256: the weights that are used.

    Raises:
        OutputError: it holds the other contrast, or was made with other weights.
    """
    report = _read(folder / REPORT_NAME)
    if report.get("program") != PROGRAM or report.get("status") != "done":
        return False
    made = {entry.get("target_contrast") for entry in report.get("series", [])}
    weights = report.get("model", {}).get("weights_sha256")
    if made == {target} and weights == weights_sha256:
        return True
    was, now = (
        (f"weights {str(weights)[:12]}", f"weights {weights_sha256[:12]}")
        if made == {target}
        else (" and ".join(sorted(map(str, made))), target)
    )
    raise OutputError(
        f"{folder.parent.name}/{folder.name}: holds a series made as {was}; need a folder for {now}; "
        "choose another -o, or delete it"
    )


def finished_series(line: Line, out: Path, searched: Mapping[str, Any], weights_sha256: str) -> int | None:
    """How many series of a manifest line are finished, or None where something may be left to do.

    Args:
        line: the line.
        out: output folder of the run.
        searched: how series are chosen; a study that was searched otherwise is searched again.
        weights_sha256: the weights that are used.

    Raises:
        OutputError: see `is_finished`.
    """
    folder = out / line.name
    if line.single:
        return 1 if is_finished(folder, line.makes, weights_sha256) else None
    study = _read(folder / STUDY_NAME)
    labels = study.get("series", {})
    done = [is_finished(folder / label, line.makes, weights_sha256) for label in labels]
    return len(done) if done and all(done) and study.get("asked") == _asked(line, searched) else None


def remember_study(line: Line, out: Path, searched: Mapping[str, Any], found: Mapping[str, str]) -> None:
    """Write down which series a study has.

    Args:
        line: its line.
        out: output folder of the run.
        searched: how series are chosen.
        found: stack id to SeriesInstanceUID, which is kept as a hash only.

    Raises:
        OutputError: a stack id meant another series before, so its finished folder would be taken for this one's; or
            the file cannot be written.
    """
    path = out / line.name / STUDY_NAME
    series = {label: hashlib.sha256(uid.encode()).hexdigest()[:16] for label, uid in found.items()}
    before = _read(path).get("series", {})
    if changed := [label for label in series if before.get(label, series[label]) != series[label]]:
        raise OutputError(
            f"{line.name}: the study has changed since it was begun (stack {changed[0]} is another series now); "
            "need it as it was; delete its output folder to begin again"
        )
    content = {"program": PROGRAM, "asked": _asked(line, searched), "series": series}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".partial")
        beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"{path.name}: {error.strerror}; need room and rights in the output folder") from error


def _asked(line: Line, searched: Mapping[str, Any]) -> dict[str, Any]:
    return {"to": line.makes, **searched}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
