# SPDX-License-Identifier: Apache-2.0
"""Run a study, publish it, or look for lesions with a bundle's weights. Resumable: what is done stays done."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from scripts.handlers.files import write_text_atomically
from scripts.program import run_program
from scripts.study.baselines import FITS, TISSUE_GAINS, TISSUE_MEANS
from scripts.study.detection import Seen, look_at
from scripts.study.foreseen import Foreseen, foreseen
from scripts.study.grid import read_grid
from scripts.study.knees import LESIONS, close_ups, held_out_knees, lesion_twins
from scripts.study.measure import predictor
from scripts.study.measure_cell import measure_baseline_once, measure_cell
from scripts.study.patients import Plan, run_patients
from scripts.study.results import FORESEEN, publish, write_detection, write_results
from scripts.study.rows import write_csv
from scripts.study.timing import time_rows
from scripts.study.train_cell import train_cell
from scripts.synthesis.bundle import load_model

logger = logging.getLogger("scripts.study")

GridName = Annotated[str, typer.Argument(help="Name of a grid of scripts/study/grids, or a YAML file.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder of the study.")]
Cache = Annotated[Path, typer.Option(help="Where simulated knees are kept.")]
Docs = Annotated[Path, typer.Option(help="Folder of the pages.")]

app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)


@app.callback()
def start() -> None:
    """Log to the terminal."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s")


@app.command("run")
def run(
    grid: GridName = "cpu",
    out: Folder = Path("outputs/study"),
    cache_dir: Cache = Path(".cache"),
    rows: Annotated[list[str] | None, typer.Option("--row", help="Only this row; may be given again.")] = None,
) -> None:
    """Train and measure every cell of a grid, beside the baselines; then write the tables and figures."""
    plan, cache = read_grid(grid), cache_dir.resolve()
    knees = held_out_knees(plan.knees, plan.shape, cache)
    twins = [pair for kind in LESIONS for pair in lesion_twins(kind, plan.lesions, plan.shape, cache)]
    for name in (*FITS, TISSUE_GAINS, TISSUE_MEANS):
        measure_baseline_once(name, out / "baselines" / name.replace(" ", "_"), knees, twins)
    cells = [cell for cell in plan.cells if not rows or cell.name in rows]
    for number, cell in enumerate(cells, 1):
        started, folder = time.monotonic(), out / "cells" / cell.key
        trained = train_cell(cell, folder, str(cache))
        halfway = time.monotonic()
        measure_cell(folder, Path(trained["run"]), knees, twins)
        spent = halfway - started, time.monotonic() - halfway
        logger.info("cell %d of %d, %s: trained %.0f s, measured %.0f s", number, len(cells), cell.key, *spent)
    write_results(plan, out, out / "results")


@app.command("time")
def time_study(grid: GridName = "cpu", out: Folder = Path("outputs/study")) -> None:
    """Time the synthesis of a volume by every trained row that was not timed before; on an idle machine."""
    for one in time_rows(read_grid(grid), out):
        logger.info("%s: %.2f s, %.2f GiB", one.row, one.seconds, one.peak_gib)


@app.command("publish")
def publish_study(
    grid: GridName = "cpu",
    out: Folder = Path("outputs/study"),
    looked: Annotated[Path, typer.Option(help="Folder of the look for lesions.")] = Path("outputs/lesions"),
    learned: Annotated[Path, typer.Option(help="Folder of the learning curve.")] = Path("outputs/patients"),
    docs: Docs = Path("bundle/docs"),
) -> None:
    """Write what is done so far into the pages: CSV files and figures beside them, tables into them."""
    publish(read_grid(grid), out, looked, learned, docs)


@app.command("patients")
def patients(
    out: Folder = Path("outputs/patients"),
    cache_dir: Cache = Path(".cache"),
    sizes: Annotated[list[int] | None, typer.Option("--size", min=2, help="Patients of a group; repeatable.")] = None,
    seeds: Annotated[list[int] | None, typer.Option("--seed", min=0, help="Of the trainings; repeatable.")] = None,
) -> None:
    """Measure how many patients it takes: fine-tuning and training from scratch for an unseen scanner."""
    plan = Plan()
    run_patients(
        replace(plan, sizes=tuple(sizes or plan.sizes), seeds=tuple(seeds or plan.seeds)), out, cache_dir.resolve()
    )


@app.command("lesions")
def lesions(
    out: Folder = Path("outputs/lesions"),
    cache_dir: Cache = Path(".cache"),
    bundle: Annotated[Path, typer.Option(help="Bundle whose weights are looked at.")] = Path("bundle"),
    knees: Annotated[int, typer.Option(min=1, help="Pairs of each kind.")] = 60,
    slices: Annotated[int, typer.Option(min=1, help="Slices around each lesion.")] = 5,
    side: Annotated[int, typer.Option(min=64, help="Rows and columns.")] = 256,
) -> None:
    """Look for lesions on PD, on synthetic PDFS and on acquired PDFS, each in and out of one knee."""
    model = load_model("PDFS", root=bundle)
    predict, seen = predictor(model.network, model.inferer), list[Seen]()  # magnified as in use
    for kind in LESIONS:
        seen += look_at(predict, close_ups(kind, knees, slices, (side, side), cache_dir.resolve()))
        logger.info("looked at %d pairs, the last of kind %s", len(seen), kind)
    write_detection(seen, model.facts.weights_sha256, out)


@app.command("foreseen")
def foresee(
    out: Folder = Path("outputs/lesions"),
    cache_dir: Cache = Path(".cache"),
    knees: Annotated[int, typer.Option(min=2, help="Pairs of each kind.")] = 20,
    slices: Annotated[int, typer.Option(min=1, help="Slices around each lesion.")] = 5,
    side: Annotated[int, typer.Option(min=64, help="Rows and columns.")] = 256,
) -> None:
    """Scan the knees of the look for lesions with other protocols: the slope that a synthesis could reach."""
    lines = list[Foreseen]()
    for kind in LESIONS:
        lines += foreseen(close_ups(kind, knees, slices, (side, side), cache_dir.resolve()))
        write_text_atomically(out / FORESEEN, write_csv(lines, Foreseen))
        logger.info("%s: slope %.2f", kind, lines[-1].slope)


if __name__ == "__main__":
    sys.exit(run_program(app, "scripts.study"))
