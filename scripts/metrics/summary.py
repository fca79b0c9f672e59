# SPDX-License-Identifier: Apache-2.0
"""From one row per patient to the summary: means, bootstrap intervals over patients, paired gains over baselines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.metrics.image import HIGHER_IS_BETTER

RESAMPLES = 10_000
LEVEL = 0.95
PAIRED = ("psnr", "ssim")
"""The scores whose paired gain over a baseline is tabled."""

_SIGNIFICANT = 6
_TITLES: Mapping[str, str] = {"psnr": "PSNR dB", "ssim": "SSIM", "mae": "MAE", "nmse": "NMSE"}
_DIGITS: Mapping[str, int] = {"psnr": 2, "ssim": 3, "mae": 4, "nmse": 4}


@dataclass(frozen=True)
class CaseScore:
    """The scores of one patient under one way of measuring.

    Attributes:
        data: what kind of data the patient is of: ``simulated`` or ``user's``.
        patient: the patient's key in the data set.
        direction: for example ``PD to PDFS``.
        method: ``model`` or the name of a baseline.
        reference: ``clean`` (noise-free target, simulation only) or ``noisy`` (the target as acquired).
        protocol: ``as stored`` or ``gain matched``.
        scores: score by name, keys as in ``HIGHER_IS_BETTER``.
        gain: the factor that was applied; 1 as stored.
    """

    data: str
    patient: str
    direction: str
    method: str
    reference: str
    protocol: str
    scores: Mapping[str, float]
    gain: float

    def as_row(self) -> dict[str, str]:
        """The row of ``metrics.csv``."""
        names = ("data", "patient", "direction", "method", "reference", "protocol")
        numbers = {name: self.scores[name] for name in HIGHER_IS_BETTER} | {"gain": self.gain}
        return {name: getattr(self, name) for name in names} | {name: _plain(value) for name, value in numbers.items()}


@dataclass(frozen=True)
class Estimate:
    """A mean over patients and its bootstrap interval; the interval is not a number for fewer than two patients."""

    mean: float
    low: float
    high: float

    def text(self, digits: int, signed: bool = False) -> str:
        """``mean [low, high]``, or the bare mean where there is no interval."""
        sign = "+" if signed else ""
        mean = f"{self.mean:{sign}.{digits}f}"
        return mean if self.low != self.low else f"{mean} [{self.low:{sign}.{digits}f}, {self.high:{sign}.{digits}f}]"


@dataclass(frozen=True)
class MethodSummary:
    """One line of the summary: a method under one way of measuring.

    Attributes:
        data: as in :class:`CaseScore`, several joined by ``and``.
        direction: as in :class:`CaseScore`; so are ``method``, ``reference`` and ``protocol``.
        patients: how many.
        scores: estimate by score name.
        gains: per baseline name, estimate of the paired difference ``method - baseline`` by score name (``PAIRED``).
    """

    data: str
    direction: str
    method: str
    reference: str
    protocol: str
    patients: int
    scores: Mapping[str, Estimate]
    gains: Mapping[str, Mapping[str, Estimate]]

    def as_row(self) -> dict[str, str]:
        """The row of ``summary.csv``."""
        row = {name: getattr(self, name) for name in ("data", "direction", "method", "reference", "protocol")}
        row["patients"] = str(self.patients)
        columns = {name: self.scores[name] for name in HIGHER_IS_BETTER}
        for baseline, gains in self.gains.items():
            columns |= {f"{name}_gain_over_{baseline.replace(' ', '_')}": gains[name] for name in PAIRED}
        for name, estimate in columns.items():
            row[name] = _plain(estimate.mean)
            row |= {f"{name}_low": _plain(estimate.low), f"{name}_high": _plain(estimate.high)}
        return row


def bootstrap_mean(values: Tensor, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL) -> Estimate:
    """Mean over patients and its percentile bootstrap interval (Efron 1979).

    The draws depend on the seed and the number of patients alone: two methods on the same patients are resampled alike.

    Args:
        values: one value per patient, ``(N,)``.
        seed: of the generator; the global one is left alone.
        resamples: bootstrap samples.
        level: coverage of the interval, in (0, 1).

    Returns:
        The estimate; for one patient the interval is not a number.

    Raises:
        ValueError: for values that are not ``(N,)`` with N >= 1, or a level outside (0, 1).
    """
    if values.ndim != 1 or values.numel() == 0:
        raise ValueError(f"a bootstrap needs one value per patient, (N,), got {tuple(values.shape)}")
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval lies between 0 and 1, got {level}")
    values = values.detach().double().cpu()
    count = values.numel()
    mean = float(values.mean())
    if count < 2:
        return Estimate(mean, float("nan"), float("nan"))
    draws = torch.randint(count, (resamples, count), generator=torch.Generator().manual_seed(seed))
    means = values[draws].mean(dim=1)
    # No interpolation: an infinite PSNR would turn it into not a number.
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(means, edges, interpolation="nearest").tolist()
    return Estimate(mean, low, high)


def summarise(
    cases: Iterable[CaseScore], baselines: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
) -> list[MethodSummary]:
    """One line per direction, reference, protocol and method, in the order of first appearance.

    Args:
        cases: the per-patient rows.
        baselines: methods over which each method's paired gain is given.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Returns:
        The lines of the table.

    Raises:
        ValueError: where a patient was scored twice, or a baseline was not scored on the same patients.
    """
    groups: dict[tuple[str, str, str, str], dict[str, CaseScore]] = {}
    for case in cases:
        group = groups.setdefault((case.direction, case.reference, case.protocol, case.method), {})
        if case.patient in group:
            raise ValueError(
                f"a patient was scored twice ({case.direction}, {case.method}): patient keys must be unique"
            )
        group[case.patient] = case

    def estimate(values: list[float]) -> Estimate:
        return bootstrap_mean(torch.tensor(values, dtype=torch.float64), seed, resamples)

    lines = []
    for (direction, reference, protocol, method), group in groups.items():
        gains: dict[str, dict[str, Estimate]] = {}
        for baseline in baselines:
            other = groups.get((direction, reference, protocol, baseline), {})
            if other.keys() != group.keys():
                raise ValueError(f"'{method}' and '{baseline}' were scored on different patients ({direction})")
            gains[baseline] = {
                name: estimate([case.scores[name] - other[patient].scores[name] for patient, case in group.items()])
                for name in PAIRED
            }
        members = list(group.values())
        lines.append(
            MethodSummary(
                data=" and ".join(sorted({case.data for case in members})),
                direction=direction,
                method=method,
                reference=reference,
                protocol=protocol,
                patients=len(members),
                scores={name: estimate([case.scores[name] for case in members]) for name in HIGHER_IS_BETTER},
                gains=gains,
            )
        )
    return lines


def to_markdown(lines: Sequence[MethodSummary]) -> str:
    """The summary as Markdown: one table per direction and reference, headed by the kind of data it was measured on."""
    blocks = []
    for direction, reference in dict.fromkeys((line.direction, line.reference) for line in lines):
        part = [line for line in lines if (line.direction, line.reference) == (direction, reference)]
        first = part[0]
        patients = "1 patient" if first.patients == 1 else f"{first.patients} patients"
        head = [f"{first.data} data, {patients}", "gain", *(_TITLES[name] for name in HIGHER_IS_BETTER)]
        head += [f"{_TITLES[name]} over {baseline}" for baseline in first.gains for name in PAIRED]
        title = f"### {first.data.capitalize()} data: {direction}, against the {reference} target"
        blocks.append(f"{title}\n\n{_table([head, *map(_cells, part)])}")
    return "\n\n".join(blocks) + "\n"


def _cells(line: MethodSummary) -> list[str]:
    cells = [line.method, line.protocol]
    cells += [line.scores[name].text(_DIGITS[name]) for name in HIGHER_IS_BETTER]
    for baseline, gains in line.gains.items():
        own = line.method == baseline
        cells += ["" if own else gains[name].text(_DIGITS[name], signed=True) for name in PAIRED]
    return cells


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up in a log; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    return "\n".join([text[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *text[1:]])


def _plain(value: float) -> str:
    return f"{value:.{_SIGNIFICANT}g}"
