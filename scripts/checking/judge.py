# SPDX-License-Identifier: Apache-2.0
"""From what was measured to findings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scripts.checking import findings as kinds
from scripts.checking.duplicates import duplicates
from scripts.checking.findings import Finding, Kind
from scripts.checking.pair import Pair
from scripts.data.pairs import SECTIONS
from scripts.data.patients import same_knee_or_visit, same_person
from scripts.diagnosis.thresholds import Thresholds
from scripts.limits import size_problems

Said = tuple[str, str]
"""A pair's or patient's key, and what about it."""


@dataclass(frozen=True)
class Limits:
    """Where a pair becomes doubtful.

    Args:
        shift_mm: shift above which images are not one over the other, and
        shift_pixels: the same in pixels of the thumbnails, which are 0.8 to 1.5 mm.
        order: `order_of_contrasts` below which the two contrasts are taken to be exchanged.
        negative: share of clearly negative voxels.
        place: share of a pixel, or of the distance of slices, by which headers may differ.
        spread: distance from the median in median absolute deviations that makes an outlier, and
        ratio: the factor that it has to differ by at least.
    """

    shift_mm: float = 2.5
    shift_pixels: float = 2.2
    order: float = -0.05
    negative: float = 0.01
    place: float = 0.5
    spread: float = 8.0
    ratio: float = 1.5


def judge_pairs(pairs: Sequence[Pair], limits: Limits | None = None) -> list[Finding]:
    """Everything that the pairs themselves show."""
    limits = limits or Limits()
    said: dict[Kind, list[Said]] = {}

    def say(kind: Kind, key: str, words: str) -> None:
        said.setdefault(kind, []).append((key, words))

    same = _same_images(pairs, say)
    reversed_order, told = _orders(pairs, limits)
    for pair in pairs:
        for kind, words in pair.faults:
            say(kind, pair.key, words)
        for kind, words in _of_one(pair, limits, pair.key in same):
            say(kind, pair.key, words)
        if pair.key in reversed_order:
            say(reversed_order[pair.key], pair.key, told)
        if pair.grids is not None:
            problems = size_problems(pair.grids[0].shape[0], pair.grids[0].spacing_mm)
            if problems:
                say(kinds.SIZE, pair.key, "; ".join(problems))
    for key, words in _outliers(pairs, limits):
        say(kinds.RANGE, key, words)
    return [Finding(kind, *_unique(entries)) for kind, entries in said.items()]


def judge_patients(pairs: Sequence[Pair]) -> list[Finding]:
    """Who is where: patients in two sections or under two names, sections without patients."""
    sections: dict[str, set[str]] = {}
    for pair in pairs:
        sections.setdefault(pair.patient, set()).add(pair.section)
    found = []
    torn = [(name, " and ".join(sorted(where))) for name, where in sorted(sections.items()) if len(where) > 1]
    if torn:
        found.append(Finding(kinds.TWO_SECTIONS, *_unique(torn), noun="patients"))
    groups = same_person(sections)
    for kind, chosen in (
        (kinds.SPELLINGS, [group for group in groups if _spread_over(group, sections)]),
        (kinds.ONE_PERSON, [group for group in groups if not _spread_over(group, sections)]),
        (kinds.SIDES, [g for g in same_knee_or_visit(sections) if g not in groups and _spread_over(g, sections)]),
    ):
        if chosen:
            about = tuple(" = ".join(group) for group in chosen)
            where = tuple(", ".join(sorted(set.union(*(sections[name] for name in group)))) for group in chosen)
            found.append(Finding(kind, about, where, "names"))
    for section in SECTIONS:
        if not any(section in where for where in sections.values()):
            kind = kinds.NO_TEST if section == "test" else kinds.NO_SECTION
            found.append(Finding(kind, (section,), noun="sections"))
    return found


def _of_one(pair: Pair, limits: Limits, same: bool) -> Iterator[tuple[Kind, str]]:
    if pair.looks is not None:
        for name, one in zip(("PD", "PDFS"), pair.looks, strict=True):
            if one.negative > limits.negative:
                yield kinds.NEGATIVE, f"{name}: {100 * one.negative:.0f} % of the voxels, down to {one.low:.4g}"
    fit = pair.fit
    if fit is None or same or any(kind in (kinds.GRID, kinds.UNREADABLE) for kind, _ in pair.faults):
        return
    if fit.flip:
        yield kinds.FLIPPED, f"PDFS {fit.flip_name}"
        return
    if pair.peak is not None and pair.peak < Thresholds().peak:
        # Edges alone decide: over 30 simulated knees they overlapped 1.9 to 4.1 times as well as those of strangers and
        # foreign pairs 0.6 to 1.3 times, where shared information was 1.0 to 6.8 and 0.7 to 2.5.
        yield kinds.UNPAIRED, f"edges {pair.peak:.1f}, information {pair.information:.1f} times those of strangers"
        return  # the place of a best fit that does not stand out says nothing
    shifted = fit.shift_mm > max(limits.shift_mm, limits.shift_pixels * pair.pixel_mm)
    apart = pair.grids is not None and not pair.mapped and _apart(pair, limits)
    if shifted and pair.mapped:
        yield kinds.RESIDUAL, f"by {fit.shift_mm:.1f} mm"
    elif shifted:
        yield kinds.PLACE if apart else kinds.SHIFTED, f"by {fit.shift_mm:.1f} mm"
    elif apart:
        yield kinds.APART, f"by {pair.apart_mm:.1f} mm"


def _apart(pair: Pair, limits: Limits) -> bool:
    assert pair.grids is not None
    return pair.apart_mm > limits.place * min(pair.grids[0].spacing_mm)


def _orders(pairs: Sequence[Pair], limits: Limits) -> tuple[dict[str, Kind], str]:
    """Which pairs have their contrasts exchanged; where most of a set have, a slight sign is enough."""
    signs = {pair.key: pair.order for pair in pairs if pair.order is not None}
    against = [key for key, order in signs.items() if order < 0]
    most = len(signs) >= 3 and len(against) > 0.6 * len(signs)
    told = "by fine structure and brightness of the fat" + (", as in most of all pairs" if most else "")
    return {key: kinds.SWAPPED if most or signs[key] < limits.order else kinds.DOUBTFUL for key in against}, told


def _same_images(pairs: Sequence[Pair], say: Callable[[Kind, str, str], None]) -> set[str]:
    """Tell duplicates; gives the pairs whose two images are one."""
    owners = [(pair, which) for pair in pairs for which in (0, 1)]
    found = duplicates(
        [pair.signatures[which] for pair, which in owners], [pair.stored[which] for pair, which in owners]
    )
    same: set[str] = set()
    for i, j in found:
        (one, a), (other, b) = owners[i], owners[j]
        if one.key == other.key:
            same.add(one.key)
            say(kinds.SAME_FILE, one.key, "")
        else:
            harmless = one.patient == other.patient and one.section == other.section
            names = ("PD", "PDFS")
            say(kinds.COPIES if harmless else kinds.DUPLICATE, one.key, f"{names[a]} is {names[b]} of {other.key}")
    return same


def _outliers(pairs: Sequence[Pair], limits: Limits) -> Iterator[Said]:
    for name, values in ranges_of(pairs).items():
        if name.startswith(("rows", "columns")) or len(values) < 8:
            continue
        logs = {key: math.log(value) for key, value in values.items() if value > 0}
        middle = statistics.median(logs.values())
        deviation = statistics.median(abs(value - middle) for value in logs.values())
        allowed = max(limits.spread * deviation, math.log(limits.ratio if "intensity" not in name else 10.0))
        for key, value in logs.items():
            if abs(value - middle) > allowed:
                yield key, f"{name} {values[key]:.4g} where {math.exp(middle):.4g} is usual"


def ranges_of(pairs: Sequence[Pair]) -> dict[str, dict[str, float]]:
    """Values by name and pair: matrix, spacing, and the bright end of each contrast as stored."""
    found: dict[str, dict[str, float]] = {}
    for pair in pairs:
        if pair.grids is not None:
            grid = pair.grids[0]
            named = {
                "slices": grid.shape[0], "rows": grid.shape[1], "columns": grid.shape[2],
                "mm between slices": grid.spacing_mm[0], "mm between pixels": grid.pixel_mm,
            }  # fmt: skip
            for name, value in named.items():
                found.setdefault(name, {})[pair.key] = float(value)
        if pair.looks is not None:
            for contrast, one in zip(("PD", "PDFS"), pair.looks, strict=True):
                found.setdefault(f"{contrast} intensity", {})[pair.key] = one.bright
    return found


def _spread_over(group: Sequence[str], sections: dict[str, set[str]]) -> bool:
    return len(set.union(*(sections[name] for name in group))) > 1


def _unique(entries: Sequence[Said]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    merged: dict[str, list[str]] = {}
    for key, words in entries:
        merged.setdefault(key, []).append(words)
    return tuple(merged), tuple("; ".join(dict.fromkeys(filter(None, words))) for words in merged.values())
