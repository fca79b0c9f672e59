# SPDX-License-Identifier: Apache-2.0
"""The tables of an evaluation as files: one writer for the evaluation of a model and of any method's images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.handlers.files import write_text_atomically
from scripts.metrics.baselines import COPY, INTENSITY_MAPPING
from scripts.metrics.measures import MeasureScore, MeasureSummary, measure_tables, summarise_measures
from scripts.metrics.protocols import protocol
from scripts.metrics.summary import RESAMPLES, CaseScore, MethodSummary, score_tables, summarise
from scripts.metrics.tables import Table, one_kind, to_csv, to_latex, to_markdown

SUMMARY = "summary.md"
"""Written last: a folder without it is incomplete."""


@dataclass(frozen=True)
class Scores:
    """All that was measured, and what the tables say of it.

    Args:
        cases: rows of ``metrics.csv``.
        measures: rows of ``measures.csv``.
        lines: of the summary.
        measure_lines: of the measures' summary.
        tables: all of them, in the order in which they are shown.
    """

    cases: Sequence[CaseScore]
    measures: Sequence[MeasureScore]
    lines: Sequence[MethodSummary]
    measure_lines: Sequence[MeasureSummary]
    tables: Sequence[Table] = ()

    @property
    def data(self) -> str:
        """The one kind of data that was measured on."""
        return one_kind(case.data for case in self.cases)

    @property
    def text(self) -> str:
        """The tables as Markdown."""
        return "\n".join(map(to_markdown, self.tables))

    @property
    def short(self) -> str:
        """The tables of the scores alone, for a log."""
        return "\n".join(map(to_markdown, score_tables(self.lines)))


def gather(
    cases: Sequence[CaseScore],
    measures: Sequence[MeasureScore] = (),
    more: Sequence[Table] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Scores:
    """Summarise rows, and make the tables.

    Args:
        cases: at least one row.
        measures: of the same images.
        more: further tables on the same data.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        UsageError: rows of simulated and of acquired data.
    """
    one_kind(row.data for rows in (cases, measures) for row in rows)
    methods = {case.method for case in cases}
    lines = summarise(cases, [name for name in (COPY, INTENSITY_MAPPING) if name in methods], seed, resamples)
    measured = summarise_measures(measures, seed, resamples)
    return Scores(cases, measures, lines, measured, (*score_tables(lines), *measure_tables(measured), *more))


def head_lines(scores: Scores, seed: int, resamples: int, notes: Sequence[str] = ()) -> list[str]:
    """What stands above the tables: notes, protocols, intervals, what was fitted on the answer."""
    lines = [*notes]
    lines += [
        f"protocol {name}: measured per patient {protocol(name).says}"
        for name in dict.fromkeys(case.protocol for case in scores.cases)
    ]
    lines += [
        f"mean [95 % bootstrap interval over patients, {resamples} resamples, seed {seed}]; columns 'over' are paired "
        "by patient",
        "'gain matched': one least-squares gain per volume, fitted on the answer",
    ]
    if {case.method for case in scores.cases} & {COPY, INTENSITY_MAPPING}:
        lines.append(
            "'intensity mapping' (the best that grey values alone allow) and 'histogram match' are fitted on the "
            "answer too"
        )
    return lines


def write_scores(folder: Path, scores: Scores, head: Sequence[str]) -> list[str]:
    """Write the tables.

    Files: ``metrics.csv`` and ``measures.csv`` (a row per image), ``summary.csv``, ``measures_summary.csv``,
    ``summary.tex`` and, very last, ``summary.md``.

    Args:
        folder: made if it is not there.
        scores: what was measured.
        head: lines above the tables.

    Returns:
        The names of the files.

    Raises:
        OSError: it cannot be written.
    """
    files = {
        "metrics.csv": to_csv([case.as_row() for case in scores.cases]),
        "summary.csv": to_csv([line.as_row() for line in scores.lines]),
    }
    if scores.measures:
        files["measures.csv"] = to_csv([row.as_row() for row in scores.measures])
        files["measures_summary.csv"] = to_csv([line.as_row() for line in scores.measure_lines])
    files["summary.tex"] = "\n".join([*(f"% {line}" for line in head), "", *map(to_latex, scores.tables)])
    files[SUMMARY] = "\n".join(["# Evaluation", "", *(f"- {line}" for line in head), "", scores.text])
    for name, text in files.items():
        write_text_atomically(folder / name, text)
    return list(files)
