# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from pathlib import Path

import pytest
from ignite.engine import Engine

from scripts.handlers.curves import CurvesCSV
from scripts.handlers.gap_warning import GapWarning, widening_gap


def rows(losses: list[float], scores: list[float | None]) -> list[dict[str, float]]:
    return [
        {"epoch": epoch, "cross": loss} | ({} if score is None else {"val_psnr": score})
        for epoch, (loss, score) in enumerate(zip(losses, scores, strict=True), 1)
    ]


FALLING = [1.0, 0.8, 0.7, 0.6, 0.55, 0.5]


def test_patients_learnt_by_heart() -> None:
    gap = widening_gap(rows(FALLING, [18.0, 19.0, 20.0, 19.6, 19.5, 19.4]))
    assert gap is not None and gap.best_epoch == 3
    assert gap.score_drop == pytest.approx(0.5) and gap.loss_drop == pytest.approx(1 - 0.55 / 0.7)


@pytest.mark.parametrize(
    ("losses", "scores"),
    [
        (FALLING, [18.0, 19.0, 20.0, 20.1, 20.2, 20.3]),  # both get better
        (FALLING, [18.0, 19.0, 20.0, 19.99, 20.0, 19.98]),  # validation stands still
        (FALLING, [18.0, 19.0, 19.5, 20.0, 19.5, 19.4]),  # too few validations since the best
        ([1.0, 0.8, 0.7, 0.7, 0.7, 0.7], [18.0, 19.0, 20.0, 19.6, 19.5, 19.4]),  # training stands still: no gap
        ([1.0, 0.8, 0.7, 0.9, 1.1, 1.5], [18.0, 19.0, 20.0, 19.0, 18.0, 17.0]),  # training itself falls apart
        (FALLING, [None] * 6),
        (FALLING[:2], [19.0, 18.0]),
    ],
)
def test_other_curves_are_left_in_peace(losses: list[float], scores: list[float | None]) -> None:
    assert widening_gap(rows(losses, scores)) is None


def test_epochs_without_validation_do_not_count() -> None:
    scores = [18.0, None, 20.0, None, 19.6, None, 19.5, None, 19.4]
    assert widening_gap(rows([1 / epoch for epoch in range(1, 10)], scores)) is not None
    assert widening_gap(rows([1 / epoch for epoch in range(1, 8)], scores[:7])) is None


def test_it_is_said_once(run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    curves = CurvesCSV(str(run_dir), plot=False)
    trainer = Engine(lambda engine, batch: None)
    handler = GapWarning(curves)
    handler.attach(trainer)
    heard = []
    with caplog.at_level(logging.WARNING, logger="scripts.handlers.gap_warning"):
        for row in rows([*FALLING, 0.4, 0.3], [18.0, 19.0, 20.0, 19.6, 19.5, 19.4, 19.0, 18.0]):
            curves.rows.append(row)
            handler._look()
            heard.append(len(caplog.records))
    assert heard == [0, 0, 0, 0, 0, 1, 1, 1] and "epoch 3" in caplog.text
