# SPDX-License-Identifier: Apache-2.0
"""Lesion boxes as fastMRI+ has them (Zhao 2022, doi:10.1038/s41597-022-01255-z), and the contrast of what is inside."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from scripts.errors import UsageError

COLUMNS = ("file", "slice", "study_level", "x", "y", "width", "height", "label")

SHOWN, FLIPPED = "shown", "flipped"
"""In which picture boxes were drawn: as this project shows the slices, or upside down to that.

The annotators of fastMRI+ saw fastMRI's arrays flipped up and down, which is how a knee is shown; so it is ``shown``
for volumes whose geometry says where up is."""
_RING = 0.5
_LEAST_RING = 5


@dataclass(frozen=True)
class Box:
    """One box.

    Args:
        case: whose.
        slice: counted from 0 in the order of the file.
        x: first column, from 0.
        y: first row, from the top.
        width: columns.
        height: rows.
        label: what it is.
        flipped: drawn upside down.
    """

    case: str
    slice: int
    x: int
    y: int
    width: int
    height: int
    label: str
    flipped: bool = False

    @property
    def words(self) -> str:
        """Where it is."""
        return f"slice {self.slice}, x {self.x}, y {self.y}, {self.width} x {self.height}"

    def turned(self, slices: int, reversed_slices: bool) -> Box:
        """The same box in slices counted as they are shown."""
        return replace(self, slice=slices - 1 - self.slice) if reversed_slices else self


def read_boxes(path: Path, frame: str = SHOWN) -> tuple[dict[str, list[Box]], int]:
    """Read a CSV file with the columns of fastMRI+.

    Args:
        path: the file.
        frame: `SHOWN` or `FLIPPED`.

    Returns:
        Boxes by case (``file`` without its ending), and the number of labels for a whole study, which have no box.

    Raises:
        UsageError: not readable, other columns, or a line without numbers.
    """
    if frame not in (SHOWN, FLIPPED):
        raise UsageError(f"--lesion-frame {frame}; need {SHOWN} or {FLIPPED}; correct it")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--lesions {path.name}: not readable; need a CSV file; check the path") from error
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise UsageError(f"--lesions {path.name}: no column {missing[0]}; need {', '.join(COLUMNS)}; correct the head")
    boxes: dict[str, list[Box]] = {}
    studies = 0
    for number, line in enumerate(lines, 2):
        if str(line["study_level"]).strip().lower() in ("yes", "true", "1"):
            studies += 1
            continue
        box = _box(path, number, line, frame == FLIPPED)
        boxes.setdefault(box.case, []).append(box)
    return boxes, studies


def _box(path: Path, number: int, line: Mapping[str, str], flipped: bool) -> Box:
    try:
        values = {name: round(float(line[name])) for name in ("slice", "x", "y", "width", "height")}
    except (TypeError, ValueError) as error:
        raise UsageError(f"--lesions {path.name}, line {number}: no numbers; need slice and box; correct it") from error
    if min(values["width"], values["height"]) < 1 or min(values.values()) < 0:
        raise UsageError(f"--lesions {path.name}, line {number}: an empty box; need a width and a height; correct it")
    name = str(line["file"]).strip()
    for suffix in (".nii.gz", ".nii", ".h5"):
        name = name.removesuffix(suffix)
    return Box(case=name, label=str(line["label"]).strip() or "unnamed", flipped=flipped, **values)


def box_contrast(volume: Tensor, body: Tensor, box: Box) -> float:
    """Mean inside the box minus the median around it, in the body of its slice.

    Around is what lies within half the box's size (5 pixels at least) of it. A box is drawn wider than its lesion, so
    the contrast is that of the box, lower than the lesion's; for prediction and target alike.

    Args:
        volume: ``(1, D, H, W)`` on the fixed scale.
        body: non-zero in the body, same shape.
        box: with its slice as shown.

    Raises:
        UsageError: it does not lie in the volume.
    """
    _, depth, rows, columns = volume.shape
    top = rows - box.y - box.height if box.flipped else box.y
    if not (0 <= box.slice < depth and 0 <= top and top + box.height <= rows and box.x + box.width <= columns):
        raise UsageError(
            f"--lesions, case {box.case}: a box at {box.words} in a volume of {depth} x {rows} x {columns}; need boxes "
            "inside; check file, slice and --lesion-frame"
        )
    inside = torch.zeros(rows, columns, dtype=torch.bool)
    inside[top : top + box.height, box.x : box.x + box.width] = True
    high, wide = (max(_LEAST_RING, round(_RING * side)) for side in (box.height, box.width))
    around = torch.zeros_like(inside)
    around[max(0, top - high) : top + box.height + high, max(0, box.x - wide) : box.x + box.width + wide] = True
    image, allowed = volume[0, box.slice], body[0, box.slice] != 0
    ring = around & ~inside & allowed
    if not bool(ring.any()):
        return float("nan")
    # Not torch.median, which takes the lower of the middle two.
    return float(image[inside].mean() - image[ring].quantile(0.5))
