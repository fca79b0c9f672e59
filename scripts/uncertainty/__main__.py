# SPDX-License-Identifier: Apache-2.0
"""Calibrate the scale head on simulated patients, and measure it on others."""

from __future__ import annotations

import hashlib
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from scripts.intervals.calibration import calibrate as find_factors
from scripts.intervals.calibration import read_calibration
from scripts.intervals.scale_network import TISSUES
from scripts.program import run_program
from scripts.simulation.study import SIMULATOR_VERSION
from scripts.software import default_root
from scripts.study.knees import close_ups
from scripts.synthesis.bundle import load_model
from scripts.synthesis.uncertainty import CALIBRATION, HEAD
from scripts.uncertainty.cohort import CALIBRATED_ON, TRIED_ON, cases, pairs_of
from scripts.uncertainty.measure import lines_of, measure, write_values
from scripts.uncertainty.oedema import look, summed_up
from scripts.uncertainty.page import outside, put_into, tables
from scripts.uncertainty.publish import publish, read_head, weights_of

logger = logging.getLogger("scripts.uncertainty")

OEDEMA, SLICES, SIZE = 60, 5, (256, 256)

Cache = Annotated[Path, typer.Option(help="Where simulated knees and predictions are kept.")]
Head = Annotated[Path | None, typer.Option(help="model.pt of a run of configs/uncertainty.yaml; the bundle's own.")]

app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)


@app.callback()
def start() -> None:
    """Log to the terminal."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s")


@app.command("calibrate")
def calibrate(head: Head = None, cache_dir: Cache = Path(".cache"), out: Path | None = None) -> None:
    """Find the factors on simulated patients; put head and calibration into the bundle, or the latter into a file.

    Args:
        head: to calibrate.
        cache_dir: of simulated patients.
        out: file for the calibration; without one, the bundle.
    """
    root = default_root()
    network, content = read_head(head or root / HEAD)
    calibration = find_factors(
        pairs_of(case for cohort in CALIBRATED_ON for case in cases(cohort, network, cache_dir, root)),
        hashlib.sha256(content).hexdigest(),
        weights_of(root),
        reference="noise-free",
        simulated=True,
        made={"patients": "; ".join(one.words for one in CALIBRATED_ON), "simulator": SIMULATOR_VERSION},
    )
    if out is not None:
        out.write_text(calibration.text, encoding="utf-8")
    else:
        publish(root, content, calibration)
    for target, factors in calibration.factors.items():
        logger.info("%s: %s", target, ", ".join(f"{n} {f:.2f}" for n, f in zip(TISSUES, factors, strict=True)))


@app.command("measure")
def measured(
    head: Head = None,
    calibration: Annotated[Path | None, typer.Option(help="Of that head; the bundle's own.")] = None,
    cache_dir: Cache = Path(".cache"),
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder of the numbers.")] = Path("outputs/uncertainty"),
    oedema: Annotated[int, typer.Option(help=f"Knees with and without oedema, up to {OEDEMA}; 0: none.")] = OEDEMA,
    publish_page: Annotated[bool, typer.Option("--publish", help="Also put the tables into the page.")] = False,
) -> None:
    """Measure coverage, width and error detection on patients that nothing was fitted to."""
    root = default_root()
    network, content = read_head(head or root / HEAD)
    factors = read_calibration(calibration or root / CALIBRATION)
    if factors.head_sha256 != hashlib.sha256(content).hexdigest():
        raise typer.BadParameter("the calibration is of another head; calibrate this one first")
    values = measure(cases(TRIED_ON, network, cache_dir, root), factors, cache_dir)
    write_values(values, out / "values.csv")
    lines = lines_of(values)
    summary = {}
    if oedema:
        twins = close_ups("oedema", OEDEMA, SLICES, SIZE, cache_dir)[:oedema]
        looked = look(load_model("PDFS", "auto", root), network, factors, twins)
        summary = {
            "visible on PD": summed_up([one for one in looked if one.is_visible]),
            "invisible on PD": summed_up([one for one in looked if not one.is_visible]),
        }
    text = tables(lines, values, summary, factors, weights_of(root)[:12], TRIED_ON.words)
    (out / "tables.md").write_text(text + "\n", encoding="utf-8")
    if publish_page:
        put_into(root / "docs" / "UNCERTAINTY.md", text)
    for one in outside(lines):
        logger.warning("%s, %s: coverage %.1f %%", one.tissue, one.target, 100 * one.coverage)


if __name__ == "__main__":
    sys.exit(run_program(app, "scripts.uncertainty"))
