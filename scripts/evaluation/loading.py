# SPDX-License-Identifier: Apache-2.0
"""From the files of a case to volumes on one grid and on the fixed scale, ready to be scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from scripts.body import body_mask, body_scale
from scripts.errors import DecodeError, GeometryError, UsageError
from scripts.evaluation.items import Item
from scripts.evaluation.masks import given_masks, simulated_masks
from scripts.evaluation.volumes import Loadable, Volume, load_volume, misfit, resampled
from scripts.metrics.body import fill_body
from scripts.metrics.cases import CLEAN, NOISY, Case, Reference
from scripts.metrics.summary import AS_GIVEN, BY_MANIFEST, NOT_OURS, SIMULATED
from scripts.quality.water_fat import fat_and_muscle, noise_of
from scripts.synthesis.products import STORED_SCALE
from scripts.transforms.align import AlignPair

OWN, OF_TARGET = "own", "target"
AUTOMATIC, GIVEN, TRUTH = "automatic", "given", "simulated labels"


@dataclass(frozen=True)
class Settings:
    """How predictions are taken.

    Args:
        contrasts: source and target.
        scale: the value of a prediction that stands for the target's 99.5th percentile in the body; or `OWN`, each
            prediction's own percentile, or `OF_TARGET`, predictions in the unit of their target's file.
        resample: predictions on another grid are interpolated onto it instead of refused.
        method: name of the method in tables.
        masks: files or folders of masks by case, and the label values by tissue.
        values: see ``masks``.
    """

    contrasts: tuple[str, str]
    scale: float | str = STORED_SCALE
    resample: bool = False
    method: str = "prediction"
    masks: Mapping[str, Path] = field(default_factory=dict)
    values: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def direction(self) -> str:
        """As ``PD to PDFS``."""
        return " to ".join(self.contrasts)

    @property
    def scale_words(self) -> str:
        """How a prediction's scale was made, for the tables."""
        if self.scale == OWN:
            return "each prediction by its own 99.5th percentile in the body"
        if self.scale == OF_TARGET:
            return "each prediction by the number of its target (predictions in the target's unit)"
        return f"every prediction by {float(self.scale):g}"


@dataclass(frozen=True)
class Loaded:
    """One case on one grid.

    Args:
        case: for the scores.
        sigma: noise of the acquired target on its scale.
        grid: of all volumes; its voxels are the target's in file units.
        scales: file units per 1.0 of source (not a number without one), target and prediction.
    """

    case: Case
    sigma: float
    grid: Volume
    scales: tuple[float, float, float]


def load_case(item: Item, settings: Settings) -> Loaded:
    """Load one case.

    Targets and sources are divided each by its own bright end; a prediction by what `Settings.scale` says, and never by
    a number that was fitted to its target.

    Raises:
        KneeSynthError: a volume that cannot be read, or that lies on another grid.
    """
    target = load_volume(item.target, f"target of case {item.key}")
    source = None if item.source is None else load_volume(item.source, f"source of case {item.key}")
    home = source or target
    pred = load_prediction(item, home, settings.resample)
    scale = _scale(target, f"target of case {item.key}")
    targets = {AS_GIVEN: target}
    if item.slices is not None:
        source, pred, targets = _aligned(item, settings, source, target, pred)
        target = targets[AS_GIVEN]
    elif apart := misfit(target, home):
        raise GeometryError(
            f"case {item.key}: its target is on another grid than its source ({apart}); need pairs on one grid; "
            "make a manifest with `kneesynth pair` and name it as --targets"
        )
    truth = (None, None) if item.slices is not None else (item.clean, item.source_clean)  # where it lay is unknown now
    clean, seen = (_clean(one, target, item.key) for one in truth)
    source_scale = float("nan") if source is None else _scale(source, f"source of case {item.key}")
    given = None if source is None else source.voxels / source_scale
    names = [(CLEAN, AS_GIVEN, clean)] if clean is not None else []
    names += [(NOISY, registration, volume.voxels / scale) for registration, volume in targets.items()]
    references = []
    for name, registration, volume in names:
        shown = [clean if clean is not None else volume]
        shown += [one for one in (seen if seen is not None else given,) if one is not None]
        body = fill_body(torch.stack([body_mask(one) for one in shown]).any(dim=0))
        references.append(Reference(name, volume, body, registration))
    last = references[-1]  # registered, where that is known
    sigma = noise_of(references[len(names) - len(targets)].volume, last.body)
    masks, origin = _masks(item, settings, target, given, last)
    made = _prediction_scale(pred, scale, settings.scale, f"prediction of case {item.key}")
    case = Case(
        data=SIMULATED if item.simulated else NOT_OURS,
        patient=item.patient,
        direction=settings.direction,
        pred=pred.voxels / made,
        references=tuple(references),
        source=given,
        name="" if item.key == item.patient else item.key,
        method=settings.method,
        masks=masks,
        regions=origin,
    )
    return Loaded(case, sigma, target, (source_scale, scale, made))


def load_prediction(item: Item, home: Volume, resample: bool) -> Volume:
    """The prediction of a case on the grid of its source, or of its target where no source is known.

    Raises:
        KneeSynthError: it cannot be read, or lies on another grid and may not be resampled.
    """
    if item.prediction is None:
        raise UsageError(f"case {item.key} has no prediction; need one; add it")
    pred = load_volume(item.prediction.loadable, f"prediction of case {item.key}")
    apart = misfit(pred, home)
    if apart and resample:
        return resampled(pred, home)
    if apart:
        raise GeometryError(
            f"prediction of case {item.key}: on another grid ({apart}); need the grid of its source; write it there, "
            "or interpolate it with --resample, which costs sharpness"
        )
    return pred


def _aligned(
    item: Item, settings: Settings, source: Volume | None, target: Volume, pred: Volume
) -> tuple[Volume, Volume, dict[str, Volume]]:
    """Source and prediction cut to the slices that a manifest keeps, and the target brought there in two ways.

    What one of the two ways saw outside of the target's field of view is zero in all of them, the prediction too: both
    are measured over the same pixels.
    """
    if source is None:
        raise UsageError(f"case {item.key}: has no source; need it to align the target; name it in the manifest")
    if settings.contrasts[1] != "PDFS":
        raise UsageError(
            f"case {item.key}: the slices of a manifest lead from PD to PDFS, and a prediction of PD would have to "
            'move with its source; need --direction "PD to PDFS", or pairs on one grid; choose one'
        )
    image, label = _meta(source), _meta(target)
    shown: dict[str, Tensor] = {}
    seen = torch.ones(())
    for name, registered in ((AS_GIVEN, False), (BY_MANIFEST, True)):
        shown[name] = AlignPair(registered)(image, label, item.slices)[1]
        seen = seen * _plain(AlignPair(registered)(torch.ones_like(image), label, item.slices)[0])
    cut, made = (AlignPair()(one, label, item.slices)[0] for one in (image, _meta(pred)))
    affine = np.asarray(cut.affine if isinstance(cut, MetaTensor) else image.affine, dtype=np.float64)

    def volume(one: Tensor) -> Volume:
        return Volume(_plain(one).float() * seen, affine)

    return volume(cut), volume(made), {name: volume(one) for name, one in shown.items()}


def _plain(one: Tensor) -> Tensor:
    return one.as_tensor() if isinstance(one, MetaTensor) else one


def _meta(volume: Volume) -> MetaTensor:
    return MetaTensor(volume.voxels, affine=torch.from_numpy(volume.affine))


def _clean(loadable: Loadable | None, like: Volume, key: str) -> Tensor | None:
    if loadable is None:
        return None
    volume = load_volume(loadable, f"clean target of case {key}")
    if apart := misfit(volume, like):
        raise GeometryError(f"clean target of case {key}: {apart} of the target; need its grid; make it again")
    return volume.voxels / _scale(volume, f"clean target of case {key}")


def _scale(volume: Volume, what: str) -> float:
    try:
        return body_scale(volume.voxels)
    except ValueError as error:
        raise DecodeError(f"{what}: {error}") from error


def _prediction_scale(pred: Volume, of_target: float, scale: float | str, what: str) -> float:
    if scale == OF_TARGET:
        return of_target
    return _scale(pred, what) if scale == OWN else float(scale)


def _masks(
    item: Item, settings: Settings, grid: Volume, given: Tensor | None, reference: Reference
) -> tuple[dict[str, Tensor], str]:
    if settings.masks:
        entry = settings.masks.get(item.key)
        return (given_masks(entry, settings.values, grid), GIVEN) if entry is not None else ({}, "")
    if item.labels is not None and item.simulated:
        return simulated_masks(item.labels, grid), TRUTH
    if given is None:
        return {}, ""
    pair = (given, reference.volume) if settings.contrasts[1] == "PDFS" else (reference.volume, given)
    return fat_and_muscle(*pair, reference.body), AUTOMATIC
