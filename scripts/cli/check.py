# SPDX-License-Identifier: Apache-2.0
"""``kneesynth check``: whether a folder or manifest of pairs can be trained on, and what to fix first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.json_output import check_json_target, write_json
from scripts.errors import OutputError, UsageError, one_line

if TYPE_CHECKING:
    from scripts.checking.run import Report

PAGE, JSON = "check.html", "check.json"


def check(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder of pairs in any layout that training takes, or a manifest.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help=f"Folder for {PAGE}, with pictures, and {JSON}.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where training would run, to estimate its time.")
    ] = "auto",
    no_step: Annotated[
        bool, typer.Option("--no-step", help="Measure no training step: the estimate then tells memory alone.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Write the report here too; `-` is stdout.")
    ] = None,
) -> None:
    """Look at pairs before training: layout, split, grids, shifts, contrasts, flips, duplicates, unreadable files.

    From headers and a few small slices, under a minute for 200 pairs. The last line says "ready" or what to fix first.
    Exit code 0 ready, 3 no pairs, 4 unreadable volumes, 5 geometry that contradicts itself, 6 anything else to fix.

    Example: [bold]kneesynth check knees/ -o check/[/bold]
    """
    if json_file is not None:
        check_json_target(json_file)
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: unknown; need auto, cpu or cuda; choose one")
    from scripts.checking.run import as_json, run_check
    from scripts.cli.progress import progress

    with progress() as tell:
        report = run_check(data, tell, None if no_step else _training_config(), _device(device))
    content = as_json(report)
    if out is not None:
        _write(report, content, out)
    if json_file is not None:
        write_json(content, json_file)
    if json_file is None or str(json_file) != "-":
        _print(report, content)
        if out is not None:
            sys.stdout.write(f"Page: {out / PAGE}\n")
        sys.stdout.write(f"{one_line(report.verdict)}\n")
    raise typer.Exit(report.exit_code)


def _training_config() -> dict[str, Any]:
    from scripts.bundle_config import read_config
    from scripts.cli.train import configs_dir

    return read_config(configs_dir() / "train.yaml")


def _device(name: str) -> Any:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no CUDA GPU here; need one; choose auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _write(report: Report, content: dict[str, Any], out: Path) -> None:
    import json

    from scripts.checking.page import render_page
    from scripts.handlers.files import write_text_atomically

    try:
        write_text_atomically(out / JSON, json.dumps(content, indent=2) + "\n")
        write_text_atomically(out / PAGE, render_page(report))
    except OSError as error:
        raise OutputError(f"{out.name}: {error.strerror}; need a writable folder; choose another") from error


def _print(report: Report, content: dict[str, Any]) -> None:
    lines = [f"Layout: {content['layout']}"]
    for name, one in content["sections"].items():
        lines.append(f"{name.capitalize()}: {one['pairs']} pairs of {one['patients']} patients")
    for name, (low, middle, high) in content["ranges"].items():
        lines.append(f"{name[:1].upper() + name[1:]}: {low:g} to {high:g}, median {middle:g}")
    if content["estimate"] is not None:
        lines.append(f"Training: {content['estimate']['sentence']}")
    marks = {"fix": "FIX", "warn": "look", "note": "note"}
    for finding in report.findings:
        lines.append(f"{marks[finding.kind.grave]}: {finding.sentence}: {finding.kind.todo}")
        words = [(key, text) for key, text in zip(finding.about, finding.words, strict=False) if text]
        lines += [f"    {key}: {text}" for key, text in words[:6]]
        if len(words) > 6:
            lines.append(f"    ... and {len(words) - 6} more")
    sys.stdout.writelines(f"{printable_line(line)}\n" for line in lines)


def printable_line(line: str) -> str:
    """A line as a terminal may show it; leading spaces stay."""
    from scripts.errors import printable

    return printable(line)
