# SPDX-License-Identifier: Apache-2.0
"""The first step of a training: its own pairs are looked at, before anything is computed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.checking.findings import NO_SECTION, NO_TEST, NOTE, Finding, ordered
from scripts.checking.judge import judge_pairs, judge_patients
from scripts.checking.pair import Pair
from scripts.checking.run import measure_pairs
from scripts.data.pairs import are_simulated
from scripts.errors import refusal as refusal_of
from scripts.processes import from_first_rank, is_first_rank

logger = logging.getLogger(__name__)

MOST = 16
"""Pairs whose slices are looked at; of the others the headers are read."""

Item = Mapping[str, Any]


def check_before_training(
    training: Sequence[Item],
    validation: Sequence[Item],
    enabled: bool = True,
    order: Callable[[Item], Item] = dict,
    most: int = MOST,
) -> None:
    """Refuse pairs that training would fail on, and say what else `kneesynth check` would ask to fix.

    Simulated pairs, and volumes that are handed over in memory, are passed over.

    Args:
        training: items to train on.
        validation: items to validate on.
        enabled: false does nothing.
        order: puts a pair in the order PD, PDFS, as the preprocessing does.
        most: how many pairs to look at closely.

    Raises:
        KneeSynthError: volumes that cannot be read, grids that differ; in each of the processes that train together.
    """
    if not enabled or are_simulated(training) or not all(map(_is_named, [*training, *validation])):
        return
    refusal, code = "", 0
    if is_first_rank():
        started = time.monotonic()
        fatal, rest = quick_check(training, validation, order, most)
        for finding in rest:
            logger.warning("Data: %s: %s", finding.sentence, finding.kind.todo)
        if fatal:
            code = fatal[0].kind.error.exit_code
            first = next(filter(None, fatal[0].words), "")
            refusal = (
                f"{fatal[0].sentence}{': ' + first if first else ''}; need pairs that can be trained on; "
                f"{fatal[0].kind.todo}; `kneesynth check` tells all, check_data=false trains nevertheless"
            )
        logger.info("Data checked in %.0f s", time.monotonic() - started)
    told = from_first_rank(f"{code} {refusal}" if refusal else "")
    if told:
        number, _, words = told.partition(" ")
        raise refusal_of(int(number), words)


def quick_check(
    training: Sequence[Item], validation: Sequence[Item], order: Callable[[Item], Item] = dict, most: int = MOST
) -> tuple[list[Finding], list[Finding]]:
    """What training would fail on, and what else was found; notes are left out."""
    items = [
        {**order(item), "patient": f"{section}-{number}", "section": section}  # a log names no patient
        for section, chosen in (("training", training), ("validation", validation))
        for number, item in enumerate(chosen, 1)
    ]
    pairs = measure_pairs(items, most)
    found = ordered([*judge_pairs(pairs), *_of_patients(training, validation)])
    told = [finding for finding in found if finding.kind.grave != NOTE]
    return [one for one in told if one.kind.fails], [one for one in told if not one.kind.fails]


def _of_patients(training: Sequence[Item], validation: Sequence[Item]) -> list[Finding]:
    """Who is on both sides, told by numbers alone. Whether a section is empty is asked elsewhere."""
    named = [
        Pair(str(item["patient"]), str(item["patient"]), section)
        for section, chosen in (("training", training), ("validation", validation))
        for item in chosen
        if "patient" in item
    ]
    found = [one for one in judge_patients(named) if one.kind not in (NO_SECTION, NO_TEST)]
    return [replace(one, about=tuple(f"number {n}" for n in range(1, len(one.about) + 1)), words=()) for one in found]


def _is_named(item: Item) -> bool:
    """Whether both images are given as paths."""
    return all(
        isinstance(item.get(key), str | Path)
        or (isinstance(item.get(key), Sequence) and all(isinstance(name, str | Path) for name in item[key]))
        for key in ("image", "label")
    )
