# SPDX-License-Identifier: Apache-2.0
"""Contact sheets of the simulator: random knees in three planes, every lesion in and out, every effect on and off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from scripts.body import body_scale
from scripts.simulation.atlas.scenes import EFFECTS, lesion_place, one_slice, plain
from scripts.simulation.pathology.catalogue import KINDS
from scripts.simulation.study import Study, draw_study

SHAPE = (24, 256, 256)
KNEES = 10
PLANES = {"sagittal": 10.0, "coronal": 4.0, "axial": 22.0}
"""Planes, and where the sheets cut them: from the middle of the stack along the slice normal [mm]."""

SEEN_IN = {
    "red_marrow": "coronal", "oedema": "coronal", "fat_oedema": "sagittal", "effusion": "sagittal",
    "lipohaemarthrosis": "sagittal", "cartilage_defect": "sagittal", "meniscal_tear": "sagittal",
    "ligament_tear": "sagittal", "baker_cyst": "axial", "ganglion_cyst": "axial", "lipoma": "axial", "metal": "coronal",
}  # fmt: skip
"""The plane in which each kind of lesion is shown."""

Tile = tuple[str, Tensor]


def random_knees(plane: str, seed: int, knees: int = KNEES, shape: tuple[int, int, int] = SHAPE) -> list[list[Tile]]:
    """PD over PDFS of consecutive seeds, unselected."""
    studies = [one_slice(draw_study(seed + index, plane=plane, shape=shape), PLANES[plane]) for index in range(knees)]
    return [[_tile(f"{seed + i}", study, which) for i, study in enumerate(studies)] for which in (0, 1)]


def lesions(seed: int, shape: tuple[int, int, int] = SHAPE) -> list[list[Tile]]:
    """Each kind of lesion in and out of one knee, close up: PD with and without, PDFS with and without."""
    rows: list[list[Tile]] = [[], [], [], []]
    for kind, plane in SEEN_IN.items():
        chances = dict.fromkeys(KINDS, 0.0) | {kind: 1.0}
        drawn = draw_study(seed, plane=plane, shape=shape, field_strength=3.0, pathology=chances)
        marked = replace(drawn.lesions[-1], strength=1.0)
        drawn = replace(drawn, lesions=(marked,), scanner=plain(drawn.scanner))
        offset, row, column = lesion_place(drawn)
        with_it, without = one_slice(drawn, offset), one_slice(replace(drawn, lesions=()), offset)
        for line, (study, which) in enumerate(((with_it, 0), (without, 0), (with_it, 1), (without, 1))):
            name = kind.replace("_", " ") if line == 0 else ""
            image = study.noisy[which, 0] / _end(without.noisy[which])
            rows[line].append((name, _close_up(image, row, column, shape[1] // 2)))
    return rows


def effects(seed: int, plane: str = "sagittal", shape: tuple[int, int, int] = SHAPE) -> list[list[Tile]]:
    """Each effect of sequence and scanner alone, PD over PDFS, the first without any."""
    drawn = draw_study(seed, plane=plane, shape=shape, field_strength=3.0)
    drawn = replace(drawn, lesions=(), scanner=plain(drawn.scanner))
    rows: list[list[Tile]] = [[], []]
    for name, change in EFFECTS.items():
        study = one_slice(replace(drawn, scanner=change(drawn.scanner)), PLANES[plane])
        for which, row in enumerate(rows):
            row.append(_tile(name if which == 0 else "", study, which))
    return rows


def write_sheet(path: Path, title: str, rows: Sequence[Sequence[Tile]], columns: int = 10) -> Path:
    """Draw tiles (name, image on the fixed scale) as a PNG, wrapped after ``columns``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    count = len(rows[0])
    blocks = -(-count // columns)
    figure, axes = plt.subplots(
        blocks * len(rows), min(columns, count), figsize=(1.55 * min(columns, count), 1.62 * blocks * len(rows) + 0.4),
        squeeze=False,
    )  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    for number in range(count):
        block, column = divmod(number, columns)
        for line, row in enumerate(rows):
            name, image = row[number]
            axis = axes[block * len(rows) + line][column]
            axis.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
            axis.set_title(name, fontsize=6, pad=1.5)
    figure.suptitle(title, fontsize=8, y=1 - 0.12 / figure.get_figheight(), va="top")
    figure.subplots_adjust(left=0.002, right=0.998, bottom=0.002, top=1 - 0.5 / figure.get_figheight(), wspace=0.02,
                           hspace=0.10)  # fmt: skip
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)
    return path


def _tile(name: str, study: Study, which: int) -> Tile:
    volume = study.noisy[which]
    return name, volume[0] / _end(volume)


def _end(volume: Tensor) -> float:
    return body_scale(volume)


def _close_up(image: Tensor, row: int, column: int, size: int) -> Tensor:
    top, left = (min(max(at - size // 2, 0), side - size) for at, side in zip((row, column), image.shape, strict=True))
    return image[top : top + size, left : left + size]
