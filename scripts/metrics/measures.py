# SPDX-License-Identifier: Apache-2.0
"""What a single decibel does not say: edges, flicker, fat suppression, tissue contrast, of prediction and of target.

Every measure is one number of the prediction beside the same number of the target, per image. What is judged is the
difference; 1, 0 or the target's own value is named as the target of a measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from scripts.metrics.cases import CLEAN, Case, Reference, methods_of
from scripts.metrics.flicker import flicker
from scripts.metrics.image import match_gain
from scripts.metrics.sharpness import bright_rim, edge_sharpness
from scripts.metrics.summary import RESAMPLES, Estimate, counted, over_patients
from scripts.metrics.tables import Table, one_kind, plain
from scripts.metrics.tissue import contrasts_to_noise, relative_signals, suppression_ratio

FAT, MUSCLE = "fat", "muscle"
PAIRS = (("fluid", "fat"), ("fluid", "cartilage"), ("marrow", "muscle"), ("fat", "muscle"), ("cartilage", "meniscus"))
"""Tissues whose contrast is tabled where both have a mask (those of Fayad 2021, doi:10.1097/RLI.0000000000000751)."""
LEAST_TISSUE = 30
"""Voxels that a tissue needs."""

_WAY = ("direction", "reference", "registration", "measure", "regions")


@dataclass(frozen=True)
class MeasureScore:
    """One measure of one image.

    Attributes:
        data: as in `scripts.metrics.summary.CaseScore`; so are ``patient``, ``case``, ``direction``, ``method``,
            ``reference`` and ``registration``.
        measure: its name.
        regions: where the tissue masks came from; empty for a measure without any.
        prediction: of the method.
        target: of the target, or what the target has by definition.
    """

    data: str
    patient: str
    case: str
    direction: str
    method: str
    reference: str
    registration: str
    measure: str
    regions: str
    prediction: float
    target: float

    def as_row(self) -> dict[str, str]:
        """The row of ``measures.csv``."""
        names = ("data", "patient", "case", "direction", "method", "reference", "registration", "measure", "regions")
        numbers = {"prediction": self.prediction, "target": self.target}
        return {name: getattr(self, name) for name in names} | {name: plain(value) for name, value in numbers.items()}

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> MeasureScore:
        """What `as_row` gave, to the digits that a file keeps."""
        values: dict[str, Any] = {**row} | {name: float(row[name]) for name in ("prediction", "target")}
        return cls(**values)


@dataclass(frozen=True)
class MeasureSummary:
    """A measure over patients; attributes as in `MeasureScore`, with intervals."""

    data: str
    direction: str
    method: str
    reference: str
    registration: str
    measure: str
    regions: str
    patients: int
    prediction: Estimate
    target: Estimate
    difference: Estimate

    def as_row(self) -> dict[str, str]:
        """The row of ``measures_summary.csv``."""
        names = ("data", "direction", "method", "reference", "registration", "measure", "regions")
        row = {name: getattr(self, name) for name in names} | {"patients": str(self.patients)}
        for name in ("prediction", "target", "difference"):
            one: Estimate = getattr(self, name)
            row |= {name: plain(one.mean), f"{name}_low": plain(one.low), f"{name}_high": plain(one.high)}
        return row


def measure_case(case: Case, sigma: float | None = None) -> list[MeasureScore]:
    """All measures of one image, against the clean target where there is one, else against each noisy one.

    Args:
        case: the image; without a source there is neither flicker nor suppression, without masks no tissue.
        sigma: noise of the acquired target, for contrast-to-noise ratios of both; None leaves them out.
    """
    clean = [reference for reference in case.references if reference.name == CLEAN]
    rows = []
    for reference in clean or case.references:
        for method, volume in methods_of(case, reference.volume[None], reference.body[None]).items():
            for name, regions, made, asked in _measures(case, reference, volume[0], sigma):
                rows.append(
                    MeasureScore(
                        case.data, case.patient, case.name, case.direction, method, reference.name,
                        reference.registration, name, regions, made, asked,
                    )
                )  # fmt: skip
    return rows


def _measures(
    case: Case, reference: Reference, pred: Tensor, sigma: float | None
) -> Iterator[tuple[str, str, float, float]]:
    target, body = reference.volume, reference.body
    matched = match_gain(pred[None], target[None], body[None])[0][0]
    try:
        yield "edge sharpness ratio", "", edge_sharpness(matched, target, body), 1.0
    except ValueError:  # a flat target has no edge to compare
        pass
    if case.source is not None:
        made, asked = (flicker(case.source, one, body) for one in (pred, target))
        if made is not None and asked is not None:
            yield "flicker", "", made.value, asked.value
    masks = {name: mask for name, mask in case.masks.items() if int((mask != 0).sum()) >= LEAST_TISSUE}
    yield from ((name, case.regions, made, asked) for name, made, asked in _of_tissues(case, reference, pred, masks))
    if sigma is not None and sigma > 0:
        pairs = [pair for pair in PAIRS if set(pair) <= set(masks)]
        shown, true = (contrasts_to_noise(one, masks, pairs, sigma) for one in (pred, target))
        for one, other in true:
            yield f"CNR {one} to {other}", case.regions, shown[one, other], true[one, other]


def _of_tissues(
    case: Case, reference: Reference, pred: Tensor, masks: Mapping[str, Tensor]
) -> Iterator[tuple[str, float, float]]:
    target, body = reference.volume, reference.body
    if FAT in masks:
        try:
            yield "bright rim of fat", bright_rim(pred, target, masks[FAT], body), 1.0
        except ValueError:  # no border of fat in the body
            pass
    if MUSCLE not in masks or len(masks) < 2:
        return
    try:
        shown, true = (relative_signals(one, masks, MUSCLE) for one in (pred, target))
    except ValueError:  # a muscle without signal is no anchor
        return
    for name in sorted(set(true) - {MUSCLE}):
        yield f"{name} over muscle", shown[name], true[name]
    if FAT in masks and case.source is not None:
        # Which of the two contrasts is the suppressed one, the acquired pair says.
        given = relative_signals(case.source, masks, MUSCLE)[FAT]
        pairs = [(one, case.source) if true[FAT] <= given else (case.source, one) for one in (pred, target)]
        made, asked = (suppression_ratio(suppressed, bright, masks, FAT, MUSCLE) for suppressed, bright in pairs)
        yield "fat-suppression ratio", made, asked


def summarise_measures(rows: Iterable[MeasureScore], seed: int = 0, resamples: int = RESAMPLES) -> list[MeasureSummary]:
    """One line per measure and method, in the order of first appearance.

    Raises:
        UsageError: rows of simulated and of acquired data.
    """
    rows = [row for row in rows if row.prediction == row.prediction and row.target == row.target]
    if not rows:
        return []
    data = one_kind(row.data for row in rows)
    groups: dict[tuple[str, ...], list[MeasureScore]] = {}
    for row in rows:
        groups.setdefault((*(getattr(row, name) for name in _WAY), row.method), []).append(row)

    def estimate(values: Iterable[tuple[str, float]]) -> Estimate:
        return over_patients(values, seed, resamples)

    return [
        MeasureSummary(
            data=data,
            direction=direction,
            method=method,
            reference=reference,
            registration=registration,
            measure=measure,
            regions=regions,
            patients=len({row.patient for row in part}),
            prediction=estimate((row.patient, row.prediction) for row in part),
            target=estimate((row.patient, row.target) for row in part),
            difference=estimate((row.patient, row.prediction - row.target) for row in part),
        )
        for (direction, reference, registration, measure, regions, method), part in groups.items()
    ]


def measure_tables(lines: Sequence[MeasureSummary]) -> list[Table]:
    """The measures as tables: one per direction, reference and registration, all on one kind of data.

    Raises:
        UsageError: lines of simulated and of acquired data.
    """
    if not lines:
        return []
    data = one_kind(line.data for line in lines)
    tables = []
    for way in dict.fromkeys((line.direction, line.reference, line.registration) for line in lines):
        part = [line for line in lines if (line.direction, line.reference, line.registration) == way]
        order = list(dict.fromkeys(line.measure for line in part))
        part.sort(key=lambda line: order.index(line.measure))
        head = (f"{data} data, {counted(max(line.patients for line in part))}", "method", "regions")
        rows = tuple(
            (
                *(line.measure, line.method, line.regions or "body", str(line.patients)),
                *(line.prediction.text(3), line.target.text(3), line.difference.text(3, signed=True)),
            )
            for line in part
        )
        title = f"{data.capitalize()} data: measures, {way[0]}, against the {way[1]} target {way[2]}, protocol ours"
        tables.append(Table(title, (*head, "patients", "prediction", "target", "difference"), rows))
    return tables
