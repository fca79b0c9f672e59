# SPDX-License-Identifier: Apache-2.0
"""From what was measured to what a person reads: why a volume is refused, and what is doubtful about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.limits import MIN_SLICES, size_problems
from scripts.quality.limits import Limits, Range, shipped_limits
from scripts.quality.measure import LEAST_PIXELS, Measures


@dataclass(frozen=True)
class Refusal:
    """Why a volume is refused.

    Args:
        problem: what was found, as the end of "this scan is refused since ...".
        needed: what is needed in its place.
    """

    problem: str
    needed: str


@dataclass(frozen=True)
class Judgement:
    """What the gate says of a volume.

    Args:
        refusals: why it is refused; empty if it is not.
        warnings: what is doubtful, one sentence each.
        measures: by name: value, the range it is expected in, and whether it lies inside.
    """

    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    measures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON's types."""
        return {
            "refusals": [[one.problem, one.needed] for one in self.refusals],
            "warnings": list(self.warnings),
            "measures": {name: dict(entry) for name, entry in self.measures.items()},
        }


def judge(
    found: Measures | None, contrast: str, spacing_mm: tuple[float, float, float], limits: Limits | None = None
) -> Judgement:
    """Judge a volume.

    Args:
        found: its measures; None where it was too small to measure.
        contrast: what it is said to be. Another one than PD and PDFS is measured, but not judged.
        spacing_mm: between slices, rows and columns.
        limits: by default those of the shipped weights.
    """
    limits = limits or shipped_limits()
    warnings, listed = _grid(spacing_mm, limits)
    if found is None:
        said = f"Its slices have fewer than {LEAST_PIXELS} rows or columns: too few to see noise, metal or motion."
        return Judgement((), (*warnings, said), listed)
    warned, refused = limits.warned.get(contrast, {}), limits.refused.get(contrast, {})
    values = found.as_dict()
    if found.snr is not None:
        del values["snr_in_body"]  # the better measure is there
    refusals = []
    for name, value in values.items():
        if value is None:
            continue
        expected, least = warned.get(name, Range()), refused.get(name, Range())
        listed[name] = _entry(value, expected)
        if not least.holds(value):
            refusals.append(_refusal(name, value, least))
        elif not expected.holds(value):
            warnings.append(_warning(name, value, expected, contrast))
    return Judgement(tuple(refusals), tuple(warnings), listed)


def _grid(spacing_mm: tuple[float, float, float], limits: Limits) -> tuple[list[str], dict[str, dict[str, Any]]]:
    between, row, column = spacing_mm
    warnings, listed = [], {}
    for name, what, value in (
        ("pixel_mm", "pixels are", (row * column) ** 0.5),
        ("slice_mm", "slices lie", between),
    ):
        trained = limits.trained[name]
        value = round(value, 3)
        listed[name] = _entry(value, trained)
        if not trained.holds(value) and not size_problems(MIN_SLICES, spacing_mm):  # those are said already
            apart = " apart" if name == "slice_mm" else ""
            warnings.append(
                f"Its {what} {value:.2f} mm{apart}, outside of the {trained.low:g} to {trained.high:g} mm that the "
                "shipped weights were trained on."
            )
    return warnings, listed


def _entry(value: float, expected: Range) -> dict[str, Any]:
    return {"value": value, "low": expected.low, "high": expected.high, "inside": expected.holds(value)}


def _refusal(name: str, value: float, least: Range) -> Refusal:
    if name == "body_mm2":
        return Refusal(
            f"half of its slices show at most {value:.0f} mm2 of body",
            f"a knee in the field of view, {least.low or 0:.0f} mm2 at least",
        )
    if name == "saturated":
        return Refusal(
            f"{100 * value:.0f} % of the body has the largest value that the image can hold",
            "a scan that is not overexposed; export it with its full range",
        )
    return Refusal(
        f"it is nothing but noise to the model (bright tissue is {value:.1f} times the noise)",
        f"a scan whose bright tissue is {least.low or 0:g} times the noise at least",
    )


def _warning(name: str, value: float, expected: Range, contrast: str) -> str:
    if name in ("snr", "snr_in_body"):
        return (
            f"The scan is noisy (bright tissue is {value:.0f} times the noise, and at least {expected.low:g} times in "
            "what is usual): small structures of the synthesis may be made up."
        )
    if name == "polarity":
        looks, other = ("suppressed", "PDFS") if contrast == "PD" else ("not suppressed", "PD")
        return (
            f"Its fat looks {looks}, as in {other}, but it is taken for {contrast}: check the contrast before you read "
            "the synthesis."
        )
    if name == "void_mm2":
        return (
            f"There is an area without signal within the knee ({value:.0f} mm2 over all slices), as metal leaves it: "
            "the synthesis around it is not to be trusted."
        )
    if name == "ghosts":
        return (
            f"There are ghosts in the air beside the knee ({100 * value:.1f} % of bright tissue), so the knee moved or "
            "its vessels pulsate: the synthesis may turn ghosts into structures."
        )
    if name == "jumps_mm":
        return (
            f"Slices lie {value:.1f} mm beside their neighbours, so the knee moved between them: structures are broken "
            "where slices meet."
        )
    if name == "empty_slices":
        return f"{value:.0f} of its slices show no body: nothing can be synthesised there; check the export."
    if name == "saturated":
        return f"{100 * value:.1f} % of the body has the largest value of the image: bright tissue is cut off."
    return f"Its slices show little body ({value:.0f} mm2): check that the knee is in the field of view."
