# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from scripts.handlers.curves import CurvesCSV
from scripts.handlers.fault_warning import FaultWarning

WEIGHTS = {"content": 0.002, "recon": 0.05, "cross": 1.0}


def warnings_of(toy: Any, run_dir: Path, caplog: pytest.LogCaptureFixture, **settings: Any) -> list[str]:
    run = toy(max_epochs=6)
    curves = CurvesCSV(str(run_dir), run.optimizer, run.evaluator, plot=False)
    run_dir.mkdir(parents=True)
    handler = FaultWarning(curves, {"loss_weights": WEIGHTS} | settings, run_dir=str(run_dir))
    for each in (curves, handler):
        each.attach(run.trainer)
    with caplog.at_level(logging.WARNING, logger="scripts.handlers.fault_warning"):
        run.run()
    return [record.getMessage() for record in caplog.records if record.name == "scripts.handlers.fault_warning"]


def test_a_healthy_training_is_left_in_peace(toy: Any, run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_of(toy, run_dir, caplog, cross_domain_strategy="source_skip") == []


def test_a_fault_is_said_once(toy: Any, run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    (message,) = warnings_of(toy, run_dir, caplog, cross_domain_strategy="zero_skip")
    assert "skip dependency" in message and f"kneesynth diagnose {run_dir}" in message


@pytest.mark.parametrize(
    ("network", "asymmetric"),
    [
        ({"cross_domain_strategy": "zero_skip"}, True),
        ({"cross_domain_strategy": "no_skip"}, False),
        ({"width": 3}, False),
    ],
)
def test_it_reads_what_the_configuration_says_of_any_network(network: Any, asymmetric: bool, run_dir: Path) -> None:
    config = {
        "network_def": network,
        "curves": {"_target_": "scripts.handlers.curves.CurvesCSV", "run_dir": str(run_dir), "plot": False},
        "warning": {
            "_target_": "scripts.handlers.fault_warning.FaultWarning",
            "curves": "@curves",
            "settings": {"loss_weights": WEIGHTS},
        },
    }
    assert ConfigParser(config).get_parsed_content("warning").static.asymmetric is asymmetric


def test_a_flat_curve_is_said_when_it_shows(run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ignite.engine import Engine

    curves = CurvesCSV(str(run_dir), plot=False)
    handler = FaultWarning(curves, {"loss_weights": WEIGHTS, "cross_domain_strategy": "source_skip"})
    trainer = Engine(lambda engine, batch: None)
    handler.attach(trainer)
    heard = []
    with caplog.at_level(logging.WARNING, logger="scripts.handlers.fault_warning"):
        for epoch in range(1, 7):
            curves.rows.append({"epoch": epoch, "content": 0.3, "recon": 1.0 / epoch, "cross": 1.0})
            handler._look()
            heard.append(len(caplog.records))
    assert heard[:2] == [0, 0] and heard[-1] == 1
