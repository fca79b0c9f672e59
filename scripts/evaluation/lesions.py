# SPDX-License-Identifier: Apache-2.0
"""What becomes of lesions: of simulated ones against the same knee without them, of drawn ones against their vicinity.

A lesion that the source does not show cannot be expected of a synthesis. Visible and not visible ones are therefore
never averaged: visible is a contrast of at least three times the source's noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from scripts.errors import GeometryError, UsageError
from scripts.evaluation.boxes import Box, box_contrast
from scripts.evaluation.items import Item
from scripts.evaluation.loading import OF_TARGET, OWN, Loaded, Settings, load_prediction
from scripts.evaluation.volumes import load_volume, misfit
from scripts.metrics.baselines import COPY, INTENSITY_MAPPING, fit_intensity_mapping
from scripts.metrics.cases import methods_of
from scripts.metrics.lesion import LesionContrast, compare_lesion, contrast_recovery
from scripts.metrics.summary import RESAMPLES, counted, over_patients
from scripts.metrics.tables import Table, one_kind, plain
from scripts.quality.water_fat import noise_of

SHOWN, HIDDEN = "visible on the source", "not visible on the source"
ALL = "all"
LEAST_FOR_SLOPE = 5
"""Fewer lesions give no slope that means anything; their contrasts are tabled all the same."""


@dataclass(frozen=True)
class LesionScore:
    """One lesion by one method.

    Args:
        data: kind of data, see `scripts.metrics.summary.CaseScore`.
        case: of the lesion.
        direction: as ``PD to PDFS``.
        method: of the tables.
        label: what it is.
        place: slice and box, or ``counterfactual``.
        contrast: patient, true and predicted contrast, and contrast-to-noise ratio on the source.
    """

    data: str
    case: str
    direction: str
    method: str
    label: str
    place: str
    contrast: LesionContrast

    @property
    def visibility(self) -> str:
        """In words."""
        return SHOWN if self.contrast.is_visible else HIDDEN

    def as_row(self) -> dict[str, str]:
        """The row of ``lesions.csv``."""
        names = ("data", "case", "direction", "method", "label", "place", "visibility")
        numbers = {
            "cnr_on_source": self.contrast.visibility,
            "contrast_target": self.contrast.true,
            "contrast_prediction": self.contrast.predicted,
        }
        texts = {name: str(getattr(self, name)) for name in names}
        return {"patient": self.contrast.patient} | texts | {name: plain(value) for name, value in numbers.items()}


def score_boxes(loaded: Loaded, boxes: Sequence[Box], reversed_slices: bool) -> list[LesionScore]:
    """Every drawn box of one case by every method, against the last reference (registered, where that is known).

    Args:
        loaded: the case; needs its source.
        boxes: of it.
        reversed_slices: the file counts its slices the other way round than they are shown.

    Raises:
        UsageError: a box outside of the volume.
    """
    case = loaded.case
    if case.source is None:
        raise UsageError("--lesions without sources: whether a lesion shows on the source is unknown; add --sources")
    reference = case.references[-1]
    sigma = max(noise_of(case.source, reference.body), 1e-6)
    rows = []
    volumes = methods_of(case, reference.volume[None], reference.body[None])
    for box in boxes:
        place = box.turned(case.source.shape[1], reversed_slices)
        true, seen = (box_contrast(one, reference.body, place) for one in (reference.volume, case.source))
        for method, volume in volumes.items():
            made = box_contrast(volume[0], reference.body, place)
            contrast = LesionContrast(case.patient, true, made, abs(seen) / sigma)
            name = case.name or case.patient
            rows.append(LesionScore(case.data, name, case.direction, method, box.label, box.words, contrast))
    return rows


def score_twins(present: Loaded, item: Item, absent: Loaded, twin: Item, settings: Settings) -> list[LesionScore]:
    """The lesions of one simulated knee together, against the same knee, scan and noise without them.

    Contrasts of source and target are those of noise-free images: the noise of a pair is one and cancels. Both of a
    pair stand on the scale of the knee without lesions.

    Args:
        present: the knee with lesions.
        item: its files.
        absent: the knee without.
        twin: its files.
        settings: how predictions are taken.
    """
    if item.lesion is None:
        return []
    share = load_volume(str(item.lesion), f"lesions of case {item.key}", blank=True)
    if apart := misfit(share, present.grid):
        raise GeometryError(f"lesions of case {item.key}: {apart} of the target; need its grid; make the set again")
    lesion = share.voxels / 255
    if not bool((lesion > 0).any()):
        return []  # beside the stack
    source_scale, target_scale, made_scale = absent.scales
    sources = _pair([item.source, twin.source], source_scale)
    targets = _pair([item.clean, twin.clean], target_scale)
    scale = made_scale if settings.scale in (OWN, OF_TARGET) else float(settings.scale)
    made = [load_prediction(one, absent.grid, settings.resample).voxels / scale for one in (item, twin)]
    sigma = _sigma(Path(str(item.source)).parent, settings.contrasts[0]) / source_scale
    reference = absent.case.references[0]
    mapping = fit_intensity_mapping(sources[1], targets[1], reference.body)
    methods = {settings.method: made, COPY: sources, INTENSITY_MAPPING: [mapping(one) for one in sources]}
    return [
        LesionScore(
            data=present.case.data,
            case=item.key,
            direction=settings.direction,
            method=method,
            label=" + ".join(name.replace("_", " ") for name in item.kinds),
            place="counterfactual",
            contrast=compare_lesion(
                item.patient,
                prediction=(pair[0], pair[1]),
                target=(targets[0], targets[1]),
                source=(sources[0], sources[1]),
                lesion=lesion,
                sigma=sigma,
            ),
        )
        for method, pair in methods.items()
    ]


def _pair(loadables: Iterable[object], scale: float) -> list[Tensor]:
    return [load_volume(str(one), "simulated knee").voxels / scale for one in loadables]


def _sigma(folder: Path, contrast: str) -> float:
    try:
        content: Mapping[str, Mapping[str, float]] = json.loads((folder / "drawn.json").read_text(encoding="utf-8"))
        return float(content["sigma"][contrast])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder.name}: no readable drawn.json; need the whole benchmark; make it again") from error


def lesion_table(rows: Sequence[LesionScore], seed: int = 0, resamples: int = RESAMPLES) -> list[Table]:
    """Lesions by visibility, kind and method; recovery is the slope of predicted on true contrast (1: all of it).

    Raises:
        UsageError: rows of simulated and of acquired data.
    """
    if not rows:
        return []
    data = one_kind(row.data for row in rows)
    lines = []
    for visibility in (SHOWN, HIDDEN):
        seen = [row for row in rows if row.visibility == visibility]
        for label in (ALL, *dict.fromkeys(row.label for row in seen)):
            for method in dict.fromkeys(row.method for row in seen):
                part = [row for row in seen if row.method == method and label in (ALL, row.label)]
                if part:
                    lines.append(
                        (visibility, label, method, *_numbers([row.contrast for row in part], seed, resamples))
                    )
    patients = counted(len({row.contrast.patient for row in rows}))
    title = f"{data.capitalize()} data: contrast of lesions, {rows[0].direction}, protocol ours"
    head = (f"{data} data, {patients}", "lesion", "method", "lesions", "of patients", "true contrast", "predicted")
    return [Table(title, (*head, "recovery"), tuple(lines))]


def _numbers(lesions: Sequence[LesionContrast], seed: int, resamples: int) -> tuple[str, ...]:
    true = over_patients(((one.patient, one.true) for one in lesions), seed, resamples)
    made = over_patients(((one.patient, one.predicted) for one in lesions), seed, resamples)
    patients = len({one.patient for one in lesions})
    recovery = ""
    if len(lesions) >= LEAST_FOR_SLOPE and len({one.true for one in lesions}) > 1:
        recovery = contrast_recovery(lesions, seed, resamples).slope.text(2)
    return (str(len(lesions)), str(patients), true.text(3, signed=True), made.text(3, signed=True), recovery)
