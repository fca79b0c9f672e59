# SPDX-License-Identifier: Apache-2.0
"""``kneesynth diagnose``: what is wrong with a training run, and what mends it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.diagnosis_source import Source, find_source
from scripts.cli.json_output import check_json_target, write_json
from scripts.cli.train import assemble, configs_dir, refusal_behind
from scripts.errors import FaultFound, UsageError

if TYPE_CHECKING:
    from scripts.diagnosis.run import Diagnosis

STUDIES = 6
"""Simulated knees that are enough to measure; the first ones of the training's own."""


def diagnose(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Training config, run folder, checkpoint or curves.csv.")
    ],
    batches: Annotated[
        int, typer.Argument(min=0, metavar="[BATCHES]", help="Batches to measure; 0 looks at settings and curves only.")
    ] = 5,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Config of a checkpoint or curves that lie alone.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="Weights to diagnose with a config.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the figures.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Write the figures here too; `-` is stdout.")
    ] = None,
) -> None:
    """Say what is wrong with a training run, in one sentence, with the evidence and the command that mends it.

    Ends with 0 for a healthy run or one too young to judge, with 10 for a fault.

    Example: [bold]kneesynth diagnose bundle/configs/train.yaml 5[/bold]
    """
    if json_file is not None:
        check_json_target(json_file)
    found = find_source(source, config, checkpoint)
    diagnosis = run_diagnosis(found, batches)
    report = diagnosis.report()
    if html is not None:
        from scripts.diagnosis.report import write_page

        write_page(report, diagnosis.rows, html)
    if json_file is not None:
        write_json(report, json_file)
    if json_file is None or str(json_file) != "-":
        from scripts.cli.diagnosis_table import print_diagnosis

        print_diagnosis(report, sys.stdout)
    if diagnosis.verdict.is_fault:
        raise typer.Exit(FaultFound.exit_code)


def run_diagnosis(source: Source, batches: int) -> Diagnosis:
    """Run the bundle's diagnosis on the files of a run.

    Raises:
        KneeSynthError: the refusal behind whatever MONAI raised, with its own exit code.
    """
    if source.config is None:
        return _curves_alone(source)
    config = assemble_diagnosis(source, batches)
    from monai.bundle import ConfigParser

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="parsing config_file", category=UserWarning)
            parser = ConfigParser(config)
            parser.parse(True)
            parser.get_parsed_content("initialize")
            diagnosis: Diagnosis = parser.get_parsed_content("diagnosis")
    except Exception as error:
        refusal = refusal_behind(error, "diagnosis")
        if refusal is error:
            raise
        raise refusal from None
    return diagnosis


def assemble_diagnosis(source: Source, batches: int) -> dict[str, Any]:
    """A training config with the evidence and the verdict of ``diagnose.yaml`` added to it.

    Args:
        source: the files of the run; it has a config.
        batches: batches to measure; 0 for none.

    Raises:
        UsageError: the config cannot be read, or a key of it is unknown.
    """
    from scripts.bundle_config import read_config

    base = read_config(configs_dir() / "diagnose.yaml")
    run = assemble(source.config, {})
    complete = {**base, **run, "initialize": base["initialize"], "run": base["run"]}
    complete["imports"] = [*dict.fromkeys([*base["imports"], *run.get("imports", [])])]
    complete["bundle_root"] = str(configs_dir().parent)
    complete["batches"] = batches
    complete["checkpoint"] = str(source.checkpoint or "")
    complete["curves"] = str(source.curves or "")
    static, network = dict(base["static"]), run.get("network_def")
    network = dict(network) if isinstance(network, Mapping) else {}
    for name in list(static):
        if str(static[name]).startswith("@network_def#") and name not in network:
            del static[name]  # a network of the user's own has other settings
    static["initial_weights"] = run.get("initial_weights", "")
    if source.checkpoint is not None and "initial_weights" in complete:
        complete["initial_weights"] = ""  # the run's weights replace them, and the file may be gone
    complete["static"] = static
    complete["network_def"] = _buildable(network) if network else run.get("network_def")
    for name in ("cross_domain_strategy", "same_domain_use_skip"):
        if name in static:
            static[name] = network[name]  # as the user wrote it
    _fewer_studies(complete)
    complete["diagnosis"] = {**base["diagnosis"], "config": _typed(source), "run_dir": str(source.run_dir or "")}
    if batches == 0 or not source.has_network:
        complete["diagnosis"]["measured"] = None
    return complete


def _buildable(network: dict[str, Any]) -> dict[str, Any]:
    """A network's settings such that one that training would refuse is built, to be looked at."""
    if network.get("_target_") != "scripts.networks.CrossContrastNet":
        return network
    if network.get("same_domain_use_skip") is True and network.get("cross_domain_strategy") == "no_skip":
        network = network | {"cross_domain_strategy": "zero_skip"}  # what these two settings mean together
    return network | {"allow_asymmetric": True, "same_domain_use_skip": None}


def _fewer_studies(config: dict[str, Any]) -> None:
    simulated = config.get("simulated")
    if not isinstance(simulated, Mapping) or not isinstance(simulated.get("studies"), Mapping):
        return
    studies = dict(simulated["studies"])
    if isinstance(studies.get("training"), int):
        studies["training"] = min(studies["training"], STUDIES)
    config["simulated"] = {**simulated, "studies": studies}


def _typed(source: Source) -> str:
    """The config as the next command names it; ``train.yaml`` is what ``kneesynth train`` takes by itself."""
    if source.config is None or source.config.resolve() == (configs_dir() / "train.yaml").resolve():
        return ""
    return str(source.config)


def _curves_alone(source: Source) -> Diagnosis:
    from scripts.diagnosis.run import diagnose as judge_evidence
    from scripts.diagnosis.trend import read_trend
    from scripts.handlers.curves import read_curves

    assert source.curves is not None
    try:
        rows = read_curves(source.curves)
    except ValueError as error:
        raise UsageError(
            f"{source.curves.name} holds a field that is no number; need curves.csv as a run left it."
        ) from error
    if not rows or "cross" not in rows[-1]:
        raise UsageError(
            f"{source.curves.name} holds no epochs with a cross loss; need curves.csv of a run; name that."
        )
    return judge_evidence(trend=read_trend(rows), rows=rows)
