# SPDX-License-Identifier: Apache-2.0
"""A whole diagnosis, as a config composes it: evidence in, verdict and reports out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.diagnosis.evidence import Evidence, Measured, Static, Trend
from scripts.diagnosis.judge import judge
from scripts.diagnosis.next_command import next_command
from scripts.diagnosis.report import as_json, write_report
from scripts.diagnosis.thresholds import Thresholds
from scripts.diagnosis.verdict import Verdict
from scripts.errors import FaultFound, UsageError
from scripts.software import software_block

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Diagnosis:
    """The end of a diagnosis.

    Args:
        evidence: all that is known.
        verdict: what follows from it.
        limits: where health ends.
        next_command: what to type now.
        rows: rows of the curves, for the report.
    """

    evidence: Evidence
    verdict: Verdict
    limits: Thresholds
    next_command: str
    rows: tuple[Mapping[str, float], ...] = ()

    def report(self) -> dict[str, Any]:
        """Verdict and evidence as plain values for JSON."""
        report = as_json(self.verdict, self.evidence, self.limits, self.next_command)
        return report | {"software": software_block()}  # without a model: none of the bundle's was looked at

    def write(self, folder: str) -> None:
        """Write ``diagnosis.json`` and ``diagnosis.html`` into a folder, and log the verdict.

        Raises:
            OutputError: they cannot be written.
        """
        write_report(self.report(), self.rows, Path(folder))
        logger.info("%s (%s). Next: %s", self.verdict.sentence, self.verdict.kind.value, self.next_command)

    def refuse(self) -> None:
        """Raise the fault, if there is one.

        Raises:
            FaultFound: the verdict is a fault.
        """
        if self.verdict.is_fault:
            raise FaultFound(f"{self.verdict.sentence} ({self.verdict.kind.value}) Next: {self.next_command}")


def diagnose(
    static: Static | None = None,
    measured: Measured | None = None,
    trend: Trend | None = None,
    epochs: int | None = None,
    thresholds: Mapping[str, float] | None = None,
    config: str = "",
    run_dir: str = "",
    rows: Any = (),
) -> Diagnosis:
    """Judge the evidence of a run.

    Args:
        static: of its config.
        measured: of its weights and data.
        trend: of its curves.
        epochs: finished epochs; None where nobody knows.
        thresholds: those of `Thresholds` that are to differ from their defaults.
        config: name of the config file, for the next command.
        run_dir: folder of the run, for the next command.
        rows: rows of the curves.

    Raises:
        UsageError: an unknown threshold.
    """
    try:
        limits = Thresholds(**dict[str, Any](thresholds or {}))
    except TypeError as error:
        known = ", ".join(Thresholds.__dataclass_fields__)
        raise UsageError(f"thresholds has a key that is unknown; the known ones are {known}.") from error
    if static is not None and static.fine_tuned and epochs == 0:
        epochs = None  # given weights, whose epochs nobody counted
    evidence = Evidence(static, measured, trend, epochs)
    verdict = judge(evidence, limits)
    return Diagnosis(evidence, verdict, limits, next_command(verdict, config, run_dir), tuple(rows))
