# SPDX-License-Identifier: Apache-2.0
"""Draw the contact sheets of the simulator: ``python -m scripts.simulation.atlas -o DIR [--seed 1]``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from scripts.simulation.atlas.sheets import PLANES, effects, lesions, random_knees, write_sheet

logger = logging.getLogger(__name__)


def main() -> None:
    """Write ``sagittal.png``, ``coronal.png``, ``axial.png``, ``lesions.png`` and ``effects.png``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the sheets")
    parser.add_argument("--seed", type=int, default=1, help="first study; the next ones follow")
    parser.add_argument("--only", choices=(*PLANES, "lesions", "effects"), help="one sheet")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in (options.only,) if options.only else (*PLANES, "lesions", "effects"):
        if name in PLANES:
            title = f"Simulated knees, {name}: PD over PDFS, seeds from {options.seed} on, unselected"
            rows = random_knees(name, options.seed)
        elif name == "lesions":
            title = "Simulated lesions in and out of the same knee: PD with, PD without, PDFS with, PDFS without"
            rows = lesions(options.seed)
        else:
            title = "Effects of sequence and scanner, each alone: PD over PDFS (simulated)"
            rows = effects(options.seed)
        logger.info("%s", write_sheet(options.out / f"{name}.png", title, rows, columns=5 if name in PLANES else 6))


if __name__ == "__main__":
    main()
