# SPDX-License-Identifier: Apache-2.0
"""Six simulated knees in both contrasts, one exactly over the other, to plant faults in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SHAPE = (12, 112, 112)


@dataclass(frozen=True)
class Knee:
    """Both contrasts ``(D, H, W)`` in display orientation, and the affine of (slice, row, column) to RAS mm."""

    pd: np.ndarray
    pdfs: np.ndarray
    affine: np.ndarray


@pytest.fixture(scope="session")
def knees() -> list[Knee]:
    from scripts.simulation.quantities import quantities
    from scripts.simulation.relaxation import tissue_table
    from scripts.simulation.study import draw_study, map_study

    made = []
    for number in range(6):
        drawn = draw_study(500 + number, "clinical", "sagittal", SHAPE)
        maps = map_study(drawn, sub_slices=1)
        tissue = {name: value.numpy() for name, value in quantities(maps, tissue_table(drawn.tissues)).items()}
        # A spin echo of TR 3 s and TE 30 ms, without and with nearly all of the fat taken away: no scanner, no
        # chemical shift, nothing moved between the two.
        water = tissue["proton_density"] * (1 - np.exp(-3.0 / np.maximum(tissue["t1"], 1e-3)))
        whole = water * np.exp(-0.03 / np.maximum(tissue["t2"], 1e-3))
        rows, columns = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE[1:]), indexing="ij")
        coil = np.exp(0.6 * rows - 0.4 * columns)
        images = []
        for image, seed in ((whole, 0), (whole * (1 - 0.95 * tissue["fat_fraction"]), 1)):
            noise = np.random.default_rng(10 * number + seed).normal(0, 0.015 * float(whole.max()), (2, *SHAPE))
            images.append(np.hypot(image * coil + noise[0], noise[1]).astype(np.float32))
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ maps.affine_lps.numpy()
        made.append(Knee(*images, affine))
    return made


def save(path: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    """Write a volume ``(D, H, W)`` as a converter would: (columns, rows, slices), int16."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.round(voxels.transpose(2, 1, 0) * (2000 / max(float(np.abs(voxels).max()), 1e-9))).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(stored, affine[:, [2, 1, 0, 3]]), path)
    return path


Volumes = dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]


@pytest.fixture
def dataset(knees: list[Knee], tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the knees as ``<patient>/{PD,PDFS}`` after an edit of them, and a list of them."""

    def write(edit: Callable[[Volumes], Any] = lambda volumes: None, suffix: str = ".nii", listed: bool = True) -> Path:
        volumes: Volumes = {
            f"knee{number}": {"PD": (one.pd, one.affine), "PDFS": (one.pdfs, one.affine)}
            for number, one in enumerate(knees)
        }
        edit(volumes)
        root = tmp_path / "data"
        for patient, contrasts in volumes.items():
            for contrast, (voxels, affine) in contrasts.items():
                save(root / patient / f"{contrast}{suffix}", voxels, affine)
        if listed:  # the last two for validation and test
            names = [name for name, contrasts in volumes.items() if len(contrasts) == 2]
            sections = dict(zip(names[::-1], ("test", "validation"), strict=False))
            entries = [
                {"patient": name, "section": sections.get(name, "training"),
                 "image": f"{name}/PD{suffix}", "label": f"{name}/PDFS{suffix}"}
                for name in names
            ]  # fmt: skip
            (root / "dataset.json").write_text(json.dumps({"pairs": entries}))
        return root

    return write
