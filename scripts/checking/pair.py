# SPDX-License-Identifier: Apache-2.0
"""One pair: opened, looked at, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from scripts.checking.duplicates import signature
from scripts.checking.findings import EMPTY, GRID, SLICES, UNREADABLE, Kind
from scripts.checking.measures import Fit, Looks, fit_of, looks_of, order_of_contrasts
from scripts.checking.sources import Grid, Source, open_source
from scripts.checking.thumbnails import CONTRASTS, CannotRead, distance_mm, look, pooled, pooling
from scripts.errors import GeometryError, KneeSynthError, describe_unforeseen, printable


@dataclass(frozen=True)
class Pair:
    """What was found of a pair; None where it was not looked at, or could not be.

    Args:
        key: the patient, with a number where there are several pairs.
        patient: key of the patient.
        section: training, validation or test.
        grids: of PD and PDFS.
        apart_mm: how far two grids of one matrix lie apart.
        mapped: whether a registration came with it.
        looks: of PD and PDFS.
        fit: how they fit.
        order: see `measures.order_of_contrasts`.
        stranger: peak and information of its images with those of other patients, see `measures.unrelated`.
        signatures: of PD and PDFS, see `duplicates`.
        pictures: thumbnails of PD and PDFS, one over the other, float16 ``(n, h, w)``, 1.0 the bright end.
        stored: the same of each on its own grid.
        faults: what made it unreadable, and in which words.
    """

    key: str
    patient: str
    section: str
    grids: tuple[Grid, Grid] | None = None
    apart_mm: float = 0.0
    mapped: bool = False
    looks: tuple[Looks, Looks] | None = None
    fit: Fit | None = None
    order: float | None = None
    stranger: tuple[float, float] | None = None
    signatures: tuple[Tensor | None, Tensor | None] = (None, None)
    pictures: tuple[Tensor, Tensor] | None = None
    stored: tuple[Tensor | None, Tensor | None] = (None, None)
    pixel_mm: float = 1.0
    faults: tuple[tuple[Kind, str], ...] = field(default=())

    @property
    def information(self) -> float | None:
        """Mutual information over that with strangers."""
        return None if self.fit is None or self.stranger is None else self.fit.information / max(self.stranger[1], 1e-4)

    @property
    def peak(self) -> float | None:
        """Overlap of edges over that with strangers."""
        return None if self.fit is None or self.stranger is None else self.fit.peak / max(self.stranger[0], 1e-9)


def keys_of(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each pair: the patient's, and a number where a patient has several."""
    names = [printable(str(item["patient"])) for item in items]
    keys, seen = [], dict.fromkeys(names, 0)
    for name in names:
        seen[name] += 1
        keys.append(f"{name}#{seen[name]}" if names.count(name) > 1 else name)
    return keys


def open_pair(item: Mapping[str, Any], key: str) -> tuple[Pair, tuple[Source, Source] | None]:
    """Read the headers of a pair."""
    pair = Pair(key, printable(str(item["patient"])), str(item["section"]), mapped="slices" in item)
    sources: list[Source] = []
    for name, contrast in zip(("image", "label"), CONTRASTS, strict=True):
        try:
            sources.append(open_source(item[name]))
        except Exception as error:
            return replace(pair, faults=((UNREADABLE, f"{contrast}: {_why(error, item[name])}"),)), None
    a, b = sources
    pair = replace(pair, grids=(a.grid, b.grid))
    if a.grid.shape == b.grid.shape:
        pair = replace(pair, apart_mm=distance_mm(a.grid, b.grid))
    elif not pair.mapped:
        words = f"PD has {_size(a.grid)}, PDFS {_size(b.grid)}"
        return replace(pair, faults=((GRID, words),)), (a, b)
    return pair, (a, b)


def look_at(pair: Pair, sources: tuple[Source, Source], item: Mapping[str, Any]) -> Pair:
    """Read some slices of a pair and measure them."""
    a, b = sources
    try:
        seen = look(a, b, item.get("slices"))
    except CannotRead as error:
        name = ("image", "label")[CONTRASTS.index(error.contrast)]
        words = f"{error.contrast}: {_why(error.why, item[name])}"
        return replace(pair, faults=(*pair.faults, (UNREADABLE, words)))
    except GeometryError as error:
        return replace(pair, faults=pair.faults or ((SLICES if pair.mapped else GRID, str(error)),))
    looks = [looks_of(seen.whole_a, a.grid), looks_of(seen.whole_b, b.grid)]
    if looks[0] is None or looks[1] is None:
        which = " and ".join(name for name, one in zip(("PD", "PDFS"), looks, strict=True) if one is None)
        return replace(pair, faults=(*pair.faults, (EMPTY, f"{which}: no voxel above zero, or none that is a number")))
    scales = [looks[0].bright, looks[1].bright]
    over = (seen.a / scales[0], seen.b / scales[1])
    # Half precision of thumbnails on the images' own scale: a quarter of a MiB is all that is kept of a pair.
    own = [pooled(whole, pooling(grid)) / scale for whole, grid, scale in
           zip((seen.whole_a, seen.whole_b), (a.grid, b.grid), scales, strict=True)]  # fmt: skip
    stored = (own[0].half(), own[1].half())
    return replace(
        pair,
        looks=(looks[0], looks[1]),
        fit=fit_of(seen),
        order=order_of_contrasts((looks[0], looks[1]), *over),
        pictures=stored if seen.together else (over[0].half(), over[1].half()),
        stored=stored,
        signatures=(signature(stored[0]), signature(stored[1])),
        pixel_mm=seen.pixel_mm,
    )


def _size(grid: Grid) -> str:
    slices, rows, columns = grid.shape
    return f"{slices} slices of {rows} x {columns}"


def _why(error: BaseException, *entries: Any) -> str:
    """A refusal without the names of files, which may be a person's."""
    if not isinstance(error, KneeSynthError):
        return describe_unforeseen(error)
    words = str(error)
    for name in sorted(_names(entries), key=len, reverse=True):
        words = words.replace(name, "a file")
    return words.removeprefix("a file: ")


def _names(entries: Sequence[Any]) -> set[str]:
    paths = [Path(name) for entry in entries for name in ([entry] if isinstance(entry, str) else entry)]
    inside = [file for path in paths if path.is_dir() for file in path.rglob("*")]
    return {path.name for path in (*paths, *inside) if path.name}
