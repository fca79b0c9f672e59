# SPDX-License-Identifier: Apache-2.0
"""Draw the contact sheets of the simulator and fill in the table of its page.

``python -m scripts.simulation.atlas -o bundle/docs/simulator --page bundle/docs/SIMULATOR.md``
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from scripts.simulation.atlas.sheets import PLANES, effects, lesions, random_knees, write_sheet
from scripts.simulation.atlas.table import as_markdown, table

logger = logging.getLogger(__name__)

BEGIN, END = "<!-- table -->", "<!-- /table -->"
"""What the table stands between on a page."""
KNEES = 8
"""Knees that the table averages over."""


def main() -> None:
    """Write ``sagittal.png``, ``coronal.png``, ``axial.png``, ``lesions.png``, ``effects.png`` and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the sheets")
    parser.add_argument("--page", type=Path, help=f"Markdown file; the table goes between {BEGIN} and {END}")
    parser.add_argument("--seed", type=int, default=1, help="first study; the next ones follow")
    parser.add_argument("--only", choices=(*PLANES, "lesions", "effects", "table"), help="one of them")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in (options.only,) if options.only else (*PLANES, "lesions", "effects", "table"):
        if name == "table":
            rows = as_markdown(table(range(options.seed, options.seed + KNEES)))
            logger.info("%s", rows)
            if options.page:
                _fill(options.page, rows)
        else:
            logger.info("%s", _sheet(name, options.seed, options.out))


def _sheet(name: str, seed: int, out: Path) -> Path:
    path = out / f"{name}.png"
    if name in PLANES:
        title = f"Simulated knees, {name}: PD over PDFS, seeds {seed} and following, unselected"
        return write_sheet(path, title, random_knees(name, seed), columns=5)
    if name == "lesions":
        title = "Simulated lesions in and out of one knee: PD with, PD without, PDFS with, PDFS without"
        return write_sheet(path, title, lesions(seed), columns=6)
    title = "Effects of sequence and scanner, each alone: PD over PDFS (simulated)"
    return write_sheet(path, title, effects(seed), columns=6)


def _fill(page: Path, rows: str) -> None:
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{page.name}: no place for the table; need {BEGIN} and {END}; add them")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{rows}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
