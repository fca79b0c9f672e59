# SPDX-License-Identifier: Apache-2.0
"""Regions of known tissue in a real stack, fixed once as coordinates and kept as JSON without a single pixel.

A file of regions::

    {
      "title": "which knee, from where",
      "stack": {"shape": [24, 256, 256], "affine_ras": [[...], [...], [...], [0, 0, 0, 1]], "echo_times_ms": [25.2]},
      "regions": [
        {"structure": "muscle", "near": "calf", "slice": 16, "box": [130, 190, 170, 204]},
        {"structure": "fluid", "slice": 14, "polygon": [[82, 70], [92, 73], [90, 70]]},
        {"structure": "air", "slice": 6, "disc": [60, 18, 12]}
      ]
    }

Coordinates are those of the volume in display orientation (`scripts.transforms.orientation`): slice, row and column
count from 0. ``box`` is first row, first column, last row, last column, all inside; ``polygon`` is a list of row and
column, its border inside; ``disc`` is row, column, radius in pixels. ``near`` is a name that ties regions together
that lie beside each other, in one slice or the next, and so under the same coil shading; without it fat and marrow are
not compared with muscle. ``affine_ras`` (display orientation, mm) and ``echo_times_ms`` may be left out; with the
affine, the regions refuse any other knee. Of several echo times the first is scored and the next compared with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.errors import UsageError
from scripts.synthesis.grid import corner_distance

MARROW = ("marrow_femur", "marrow_tibia", "marrow_fibula", "marrow_patella")
FAT = ("subcutaneous_fat", "deep_fat", "hoffa_fat")
STRUCTURES = (*FAT, *MARROW, "muscle", "cartilage", "fluid", "meniscus", "air")
"""What a region may be. Deep fat is the fat between muscles and behind the knee."""

SHAPES = ("box", "polygon", "disc")
SHIPPED = Path(__file__).resolve().parent / "regions"

_ON_THE_LINE = 0.01  # pixels
_SAME_PLACE_MM = 0.5


@dataclass(frozen=True)
class Region:
    """One patch of one tissue in one slice.

    Args:
        structure: one of ``STRUCTURES``.
        slice: index in display orientation.
        shape: one of ``SHAPES``.
        points: its numbers, see the head of this module; a polygon's are flattened.
        near: name of the neighbourhood; empty for none.
    """

    structure: str
    slice: int
    shape: str
    points: tuple[float, ...]
    near: str = ""

    def mask(self, rows: int, columns: int) -> np.ndarray:
        """Pixels inside, bool ``(rows, columns)``: those whose centre lies within the shape or on its border."""
        row, column = np.mgrid[:rows, :columns].astype(np.float64)
        if self.shape == "box":
            top, left, bottom, right = self.points
            return (row >= top) & (row <= bottom) & (column >= left) & (column <= right)
        if self.shape == "disc":
            return np.hypot(row - self.points[0], column - self.points[1]) <= self.points[2]
        return _polygon(row, column, np.array(self.points).reshape(-1, 2))


@dataclass(frozen=True)
class RegionSet:
    """All regions of one knee, and which stack they belong to.

    Args:
        title: which knee.
        shape: slices, rows, columns.
        regions: the regions.
        affine_ras: 4x4 of the volume in display orientation, flattened by rows; None fits any stack of that shape.
        echo_times: seconds; the first is scored, the others are compared with it. Empty: the caller names stacks.
    """

    title: str
    shape: tuple[int, int, int]
    regions: tuple[Region, ...]
    affine_ras: tuple[float, ...] | None = None
    echo_times: tuple[float, ...] = ()

    def of(self, *structures: str) -> list[Region]:
        """The regions of some structures."""
        return [region for region in self.regions if region.structure in structures]

    def misfit(self, shape: Sequence[int], affine_ras: np.ndarray) -> str:
        """Why these regions do not belong to a volume in display orientation; empty if they do."""
        if tuple(shape) != self.shape:
            return f"made for {_times(self.shape)} voxels, the stack has {_times(shape)}"
        if self.affine_ras is None:
            return ""
        apart = corner_distance(self.shape, np.array(self.affine_ras).reshape(4, 4), np.asarray(affine_ras))
        return f"made for another knee: corners {apart:.1f} mm apart" if apart > _SAME_PLACE_MM else ""


def read_regions(path: Path) -> RegionSet:
    """Read and check a file of regions.

    Raises:
        UsageError: no such file, not JSON, or not what the head of this module describes; the message says where.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path.name}: no readable file of regions; need a JSON file; check --regions") from error
    except ValueError as error:
        raise UsageError(f"{path.name}: not JSON ({error}); need a file of regions; correct it") from error
    try:
        return parse_regions(content)
    except ValueError as error:
        raise UsageError(f"{path.name}: {error}; correct it") from error


def shipped_regions() -> list[RegionSet]:
    """The files of regions that come with this package and name one knee by its affine: they can be tried on any."""
    found = [read_regions(path) for path in sorted(SHIPPED.glob("*.json"))]
    return [regions for regions in found if regions.affine_ras is not None]


def parse_regions(content: Any) -> RegionSet:
    """Check the content of a file of regions.

    Raises:
        ValueError: what was found and what is needed.
    """
    top = _mapping(content, "the file", {"title", "stack", "regions"}, needed={"title", "stack", "regions"})
    stack = _mapping(top["stack"], '"stack"', {"shape", "affine_ras", "echo_times_ms"}, needed={"shape"})
    shape = _numbers(stack["shape"], '"stack"."shape"', 3)
    if any(side < 1 or side != int(side) for side in shape):
        raise ValueError(f'"stack"."shape" is {list(shape)}; need slices, rows and columns')
    if not isinstance(top["title"], str) or not top["title"].strip():
        raise ValueError(f'"title" is {top["title"]!r}; need words that say which knee this is')
    size = (int(shape[0]), int(shape[1]), int(shape[2]))
    entries = top["regions"]
    if not isinstance(entries, list) or not entries:
        raise ValueError('"regions" is not a list with entries; need at least one region')
    echoes = stack.get("echo_times_ms", [])
    times = _numbers(echoes, '"stack"."echo_times_ms"', None) if echoes != [] else ()
    return RegionSet(
        title=top["title"],
        shape=size,
        regions=tuple(_region(entry, f"region {number}", size) for number, entry in enumerate(entries, start=1)),
        affine_ras=_affine(stack["affine_ras"]) if "affine_ras" in stack else None,
        echo_times=tuple(time / 1000 for time in times),
    )


def _region(entry: Any, name: str, size: tuple[int, int, int]) -> Region:
    found = _mapping(entry, name, {"structure", "near", "slice", *SHAPES}, needed={"structure", "slice"})
    if found["structure"] not in STRUCTURES:
        raise ValueError(f"{name}: structure {found['structure']!r} is unknown; need one of {', '.join(STRUCTURES)}")
    number = found["slice"]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < size[0]:
        raise ValueError(f"{name}: slice {number!r}; need a whole number from 0 to {size[0] - 1}")
    shapes = [shape for shape in SHAPES if shape in found]
    if len(shapes) != 1:
        raise ValueError(f"{name}: {len(shapes) or 'no'} shapes; need exactly one of {', '.join(SHAPES)}")
    if not isinstance(found.get("near", ""), str):
        raise ValueError(f"{name}: near {found['near']!r}; need a name")
    kind = shapes[0]
    region = Region(found["structure"], number, kind, _points(kind, found[kind], name), found.get("near", ""))
    corners = _extent(region)
    if corners[0] < 0 or corners[1] < 0 or corners[2] > size[1] - 1 or corners[3] > size[2] - 1:
        raise ValueError(f"{name}: reaches outside the slice of {size[1]} x {size[2]} pixels")
    if not region.mask(size[1], size[2]).any():
        raise ValueError(f"{name}: holds no pixel; need at least one")
    return region


def _points(kind: str, values: Any, name: str) -> tuple[float, ...]:
    where = f'{name}: "{kind}"'
    if kind != "polygon":
        return _numbers(values, where, 4 if kind == "box" else 3)
    if not isinstance(values, list) or len(values) < 3:
        raise ValueError(f"{where} has fewer than 3 corners; need a list of [row, column]")
    return tuple(number for corner in values for number in _numbers(corner, where, 2))


def _extent(region: Region) -> tuple[float, float, float, float]:
    """First row, first column, last row, last column."""
    if region.shape == "disc":
        row, column, radius = region.points
        return row - radius, column - radius, row + radius, column + radius
    rows, columns = region.points[0::2], region.points[1::2]
    return min(rows), min(columns), max(rows), max(columns)


def _mapping(value: Any, where: str, known: set[str], needed: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is not an object; need one with {', '.join(sorted(needed))}")
    if needed - set(value):
        raise ValueError(f"{where} has no {', '.join(sorted(needed - set(value)))}")
    if set(value) - known:
        unknown = ", ".join(sorted(set(value) - known))
        raise ValueError(f"{where} has {unknown}, which is unknown; need some of {', '.join(sorted(known))}")
    return value


def _numbers(values: Any, where: str, count: int | None) -> tuple[float, ...]:
    good = isinstance(values, list) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if not good or (count is not None and len(values) != count) or not np.isfinite(values).all():
        raise ValueError(f"{where} is {values!r}; need {'some' if count is None else count} finite numbers")
    return tuple(float(value) for value in values)


def _affine(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) != 4:
        raise ValueError('"stack"."affine_ras" is not a list of 4 rows; need the 4x4 affine in display orientation')
    return tuple(number for row in values for number in _numbers(row, '"stack"."affine_ras" row', 4))


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(side) for side in shape)


def _polygon(row: np.ndarray, column: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Even-odd rule, and whatever lies on an edge."""
    inside = np.zeros(row.shape, dtype=bool)
    border = np.zeros(row.shape, dtype=bool)
    for (r0, c0), (r1, c1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (r0 > row) != (r1 > row)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (column < c0 + (row - r0) * (c1 - c0) / (r1 - r0))
        length = max((r1 - r0) ** 2 + (c1 - c0) ** 2, 1e-12)
        along = np.clip(((row - r0) * (r1 - r0) + (column - c0) * (c1 - c0)) / length, 0, 1)
        border |= np.hypot(row - r0 - along * (r1 - r0), column - c0 - along * (c1 - c0)) <= _ON_THE_LINE
    return inside | border
