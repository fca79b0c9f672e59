# SPDX-License-Identifier: Apache-2.0
"""``kneesynth train --folds N``: train and score every fold of a cross-validation, and pool the scores."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.cli.train import assemble, configs_dir, run_bundle
from scripts.errors import OutputError, UsageError


def train_folds(config: Path | None, settings: Mapping[str, Any], folds: int, folder: Path) -> str:
    """Train each fold, score its test patients with its best weights, and pool: every patient once, never trained on.

    Resumable: a fold that was scored stays as it is, one that was interrupted goes on.

    Args:
        config: as in `scripts.cli.train.assemble`.
        settings: as there.
        folds: how many.
        folder: each fold's run and scores go to ``fold-1``, ``fold-2``, ..., the pooled ``summary.md`` beside them.

    Returns:
        The pooled tables as Markdown.

    Raises:
        UsageError: no pairs of one's own, or too few patients.
        OutputError: the folder holds another cross-validation.
    """
    from scripts.bundle_config import load_config
    from scripts.data.pairs import pairs

    plan = assemble(config, dict(settings))
    for which in range(1, folds + 1):  # each fold's sections, before the first of them is trained for an hour
        for section in ("training", "validation", "test"):
            pairs(plan["dataset_dir"], plan["manifest"], section, {}, fold=[which, folds])
    _claim(folder, plan, folds)
    for which in range(1, folds + 1):
        own = folder / f"fold-{which}"
        run = own / "run"
        if (own / "scores" / "summary.md").is_file():
            continue
        merged = assemble(config, {**settings, "fold": [which, folds], "resume": True})
        merged["run_dir"]["run_dir"] = str(run)
        run_bundle("training", merged)
        given = {name: plan[name] for name in ("dataset_dir", "manifest", "contrasts")}
        scored = load_config(
            configs_dir() / "evaluate.yaml",
            [
                given
                | {
                    "fold": [which, folds],
                    "network_def": plan["network_def"],
                    "checkpoint": str(run / "model.pt"),
                    "output_dir": str(own / "scores"),
                    "device": plan["device"],
                }
            ],
        )
        run_bundle("evaluating", scored)
    return _pooled(folder, [folder / f"fold-{which}" / "scores" for which in range(1, folds + 1)])


def _claim(folder: Path, plan: Mapping[str, Any], folds: int) -> None:
    """Make the folder, or take it up again if it is of the same data and settings."""
    import yaml

    told = yaml.safe_dump({"folds": folds, **plan}, sort_keys=True)
    record = folder / "folds.yaml"
    if record.is_file():
        if record.read_text(encoding="utf-8") != told:
            raise OutputError(
                f"{folder.name}: holds another cross-validation; need the same data and settings to go on; "
                "name another output_dir"
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        record.write_text(told, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder.name}: cannot be written ({error.strerror}); name another output_dir") from error


def _pooled(folder: Path, scored: list[Path]) -> str:
    """Write the tables of all folds' patients, and give the short ones."""
    from scripts.handlers.score_files import gather, head_lines, write_scores
    from scripts.metrics.measures import MeasureScore
    from scripts.metrics.summary import RESAMPLES, CaseScore

    def rows(name: str) -> list[dict[str, str]]:
        return [row for one in scored if (one / name).is_file() for row in _read_rows(one / name)]

    cases = [CaseScore.from_row(row) for row in rows("metrics.csv")]
    scores = gather(cases, [MeasureScore.from_row(row) for row in rows("measures.csv")])
    note = f"cross-validation, {len(scored)} folds: every patient scored once, by weights that have not seen them"
    write_scores(folder, scores, head_lines(scores, 0, RESAMPLES, [note]))
    return f"{note}\n\n{scores.short}"


def _read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def check_folds(folds: int, settings: Mapping[str, Any]) -> None:
    """Refuse what cannot be cross-validated.

    Raises:
        UsageError: fewer than two folds, or a fold named besides.
    """
    if folds < 2:
        raise UsageError(f"--folds {folds}; need at least 2; correct it")
    if "fold" in settings:
        raise UsageError("--folds and fold=...: one runs all folds, the other one of them; need one; drop the other")
