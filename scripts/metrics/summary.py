# SPDX-License-Identifier: Apache-2.0
"""From one row per image to the summary: means, bootstrap intervals over patients, paired gains over baselines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.metrics.image import HIGHER_IS_BETTER
from scripts.metrics.tables import Table, one_kind, plain

RESAMPLES = 10_000
LEVEL = 0.95
PAIRED = ("psnr", "ssim")
"""The scores whose paired gain over a baseline is tabled."""
SIMULATED, NOT_OURS = "simulated", "user's"
"""The two kinds of data."""
AS_STORED, GAIN_MATCHED = "as stored", "gain matched"
"""The two scalings of a prediction."""
AS_GIVEN, BY_MANIFEST, RIGID = "as given", "registered by the manifest", "registered rigidly to the source"
"""What moved the target: nothing, or what; never was it moved towards a prediction."""

_TITLES: Mapping[str, str] = {"psnr": "PSNR dB", "ssim": "SSIM", "mae": "MAE", "nmse": "NMSE"}
_DIGITS: Mapping[str, int] = {"psnr": 2, "ssim": 3, "mae": 4, "nmse": 4}
_WAY = ("protocol", "direction", "reference", "registration")
"""What one table has in common."""


@dataclass(frozen=True)
class CaseScore:
    """The scores of one image under one way of measuring.

    Attributes:
        data: what kind of data the patient is of: ``simulated`` or ``user's``.
        patient: the patient's key in the data set.
        direction: for example ``PD to PDFS``.
        method: ``model`` or the name of a baseline.
        reference: ``clean`` (noise-free target, simulation only) or ``noisy`` (the target as acquired).
        scaling: ``as stored`` or ``gain matched``.
        scores: score by name, keys as in ``HIGHER_IS_BETTER``.
        gain: the factor that was applied; 1 as stored.
        protocol: name of a `scripts.metrics.protocols.Protocol`.
        registration: ``as given``, or what moved the target onto the source; never onto the prediction.
        case: tells several images of one patient apart.
    """

    data: str
    patient: str
    direction: str
    method: str
    reference: str
    scaling: str
    scores: Mapping[str, float]
    gain: float
    protocol: str = "ours"
    registration: str = AS_GIVEN
    case: str = ""

    def as_row(self) -> dict[str, str]:
        """The row of ``metrics.csv``."""
        names = ("data", "protocol", "patient", "case", "direction", "method", "reference", "registration", "scaling")
        numbers = {name: self.scores[name] for name in HIGHER_IS_BETTER} | {"gain": self.gain}
        return {name: getattr(self, name) for name in names} | {name: plain(value) for name, value in numbers.items()}

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> CaseScore:
        """What `as_row` gave, to the digits that a file keeps."""
        names = ("data", "protocol", "patient", "case", "direction", "method", "reference", "registration", "scaling")
        scores = {name: float(row[name]) for name in HIGHER_IS_BETTER}
        return cls(**{name: row[name] for name in names}, scores=scores, gain=float(row["gain"]))


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
        data: as in :class:`CaseScore`; so are ``protocol``, ``direction``, ``method``, ``reference``, ``registration``
            and ``scaling``.
        patients: how many.
        scores: estimate by score name.
        gains: per baseline name, estimate of the paired difference ``method - baseline`` by score name (``PAIRED``).
    """

    data: str
    protocol: str
    direction: str
    method: str
    reference: str
    registration: str
    scaling: str
    patients: int
    scores: Mapping[str, Estimate]
    gains: Mapping[str, Mapping[str, Estimate]]

    def as_row(self) -> dict[str, str]:
        """The row of ``summary.csv``."""
        names = ("data", "protocol", "direction", "method", "reference", "registration", "scaling")
        row = {name: getattr(self, name) for name in names} | {"patients": str(self.patients)}
        columns = {name: self.scores[name] for name in HIGHER_IS_BETTER}
        for baseline, gains in self.gains.items():
            columns |= {f"{name}_gain_over_{baseline.replace(' ', '_')}": gains[name] for name in PAIRED}
        for name, estimate in columns.items():
            row[name] = plain(estimate.mean)
            row |= {f"{name}_low": plain(estimate.low), f"{name}_high": plain(estimate.high)}
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


def over_patients(values: Iterable[tuple[str, float]], seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Mean over patients with its interval; a patient counts once, with the mean of what it has.

    Args:
        values: patient and number, one or more of each patient: of several planes, say, or of several lesions.
        seed: of the bootstrap.
        resamples: of the bootstrap.
    """
    by_patient: dict[str, list[float]] = {}
    for patient, value in values:
        by_patient.setdefault(patient, []).append(value)
    means = [sum(one) / len(one) for one in by_patient.values()]
    return bootstrap_mean(torch.tensor(means, dtype=torch.float64), seed, resamples)


def summarise(
    cases: Iterable[CaseScore], baselines: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
) -> list[MethodSummary]:
    """One line per way of measuring and method, in the order of first appearance.

    Args:
        cases: the rows, of one kind of data.
        baselines: methods over which each method's paired gain is given.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Returns:
        The lines of the table.

    Raises:
        UsageError: for rows of simulated and of acquired data.
        ValueError: where an image was scored twice, or a baseline was not scored on the same images.
    """
    cases = list(cases)
    if not cases:
        return []
    data = one_kind(case.data for case in cases)
    groups: dict[tuple[str, ...], dict[tuple[str, str], CaseScore]] = {}
    for case in cases:
        key = (*(getattr(case, name) for name in _WAY), case.scaling, case.method)
        group = groups.setdefault(key, {})
        if (case.patient, case.case) in group:
            raise ValueError(
                f"a patient was scored twice ({case.direction}, {case.method}): patient keys must be unique"
            )
        group[case.patient, case.case] = case

    def estimate(values: Iterable[tuple[str, float]]) -> Estimate:
        return over_patients(values, seed, resamples)

    lines = []
    for (protocol, direction, reference, registration, scaling, method), group in groups.items():
        gains: dict[str, dict[str, Estimate]] = {}
        for baseline in baselines:
            other = groups.get((protocol, direction, reference, registration, scaling, baseline), {})
            if other.keys() != group.keys():
                raise ValueError(f"'{method}' and '{baseline}' were scored on different patients ({direction})")
            gains[baseline] = {
                name: estimate(
                    (case.patient, case.scores[name] - other[key].scores[name]) for key, case in group.items()
                )
                for name in PAIRED
            }
        members = list(group.values())
        lines.append(
            MethodSummary(
                data=data,
                protocol=protocol,
                direction=direction,
                method=method,
                reference=reference,
                registration=registration,
                scaling=scaling,
                patients=len({case.patient for case in members}),
                scores={n: estimate((case.patient, case.scores[n]) for case in members) for n in HIGHER_IS_BETTER},
                gains=gains,
            )
        )
    return lines


def score_tables(lines: Sequence[MethodSummary]) -> list[Table]:
    """The summary as tables: one per protocol, direction, reference and registration, all on one kind of data.

    Raises:
        UsageError: for lines of simulated and of acquired data.
    """
    if not lines:
        return []
    data = one_kind(line.data for line in lines)
    tables = []
    for way in dict.fromkeys(tuple(getattr(line, name) for name in _WAY) for line in lines):
        part = [line for line in lines if tuple(getattr(line, name) for name in _WAY) == way]
        protocol, direction, reference, registration = way
        head = [f"{data} data, {counted(part[0].patients)}", "scaling", *(_TITLES[name] for name in HIGHER_IS_BETTER)]
        head += [f"{_TITLES[name]} over {baseline}" for baseline in part[0].gains for name in PAIRED]
        title = (
            f"{data.capitalize()} data: {direction}, against the {reference} target {registration}, protocol {protocol}"
        )
        tables.append(Table(title, tuple(head), tuple(_cells(line) for line in part)))
    return tables


def counted(patients: int) -> str:
    """``1 patient``, ``2 patients``."""
    return "1 patient" if patients == 1 else f"{patients} patients"


def _cells(line: MethodSummary) -> tuple[str, ...]:
    cells = [line.method, line.scaling]
    cells += [line.scores[name].text(_DIGITS[name]) for name in HIGHER_IS_BETTER]
    for baseline, gains in line.gains.items():
        own = line.method == baseline
        cells += ["" if own else gains[name].text(_DIGITS[name], signed=True) for name in PAIRED]
    return tuple(cells)
