# SPDX-License-Identifier: Apache-2.0
"""One pair of a site through the model, both ways: scores, pictures, what the gate sees, and what calibrates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scripts.body import body_mask
from scripts.commissioning.record import Scored
from scripts.evaluation.ranking import shown_slice
from scripts.handlers.case_table import cases_of
from scripts.metrics.baselines import COPY, HISTOGRAM_MATCH, INTENSITY_MAPPING
from scripts.metrics.body import fill_body
from scripts.metrics.cases import MODEL, Case, score_case
from scripts.metrics.measures import measure_case
from scripts.metrics.summary import AS_STORED, BY_MANIFEST, GAIN_MATCHED
from scripts.quality.judge import Judgement
from scripts.synthesis.bundle import Model
from scripts.synthesis.inference import Progress, infer
from scripts.transforms.align import AlignPaird
from scripts.transforms.intensity import NormalizeMagnituded
from scripts.transforms.orientation import DisplayOrientationd
from scripts.transforms.quality import judgement_of
from scripts.transforms.series import LoadKneeSeriesd

if TYPE_CHECKING:
    from scripts.intervals.calibration import Pair

CONTRASTS = ("PD", "PDFS")
KEYS = ("image", "label")
_OVER = {"over_copy": COPY, "over_histogram_match": HISTOGRAM_MATCH, "over_intensity_mapping": INTENSITY_MAPPING}


@dataclass(frozen=True)
class Measured:
    """What one pair gave.

    Args:
        scored: one of each direction.
        cases: what was scored, with the volumes; the first with the second's source as its target.
        judgements: of the gate on both scans as acquired, by contrast.
        pairs: what calibrates the uncertainty, one of each direction; none without a scale head.
    """

    scored: tuple[Scored, ...]
    cases: tuple[Case, ...]
    judgements: Mapping[str, Judgement]
    pairs: tuple[Pair, ...]


def measure_pair(entry: Mapping[str, Any], model: Model, head: nn.Module | None, tell: Progress) -> Measured:
    """Read, register as the manifest says, synthesise both ways and score.

    The gate looks at the scans as they were acquired; scores and calibration are of the registered ones.

    Args:
        entry: of a manifest: ``id``, ``patient``, ``image``, ``label`` and, where the grids differ, ``slices``.
        model: of the bundle.
        head: of its uncertainty; None for none.
        tell: called as the work goes on.

    Raises:
        KneeSynthError: a scan that cannot be read, or does not fit its pair.
    """
    acquired = DisplayOrientationd(KEYS)(
        LoadKneeSeriesd(KEYS)({key: entry[key] for key in entry})
    )  # no Compose, which wraps every refusal
    normalise = NormalizeMagnituded(KEYS)
    judged = normalise(dict(acquired))
    judgements = {name: judgement_of(judged[key], name) for key, name in zip(KEYS, CONTRASTS, strict=True)}
    registered = normalise(AlignPaird(KEYS)(dict(acquired)))
    image, label = (torch.as_tensor(registered[key]).as_subclass(Tensor).float() for key in KEYS)
    item: dict[str, Any] = {"image": image, "label": label}
    for key, target, name in ((KEYS[0], CONTRASTS[1], "pred"), (KEYS[1], CONTRASTS[0], "pred_reverse")):
        item[name] = infer(model, item[key], tell, target)["pred"]
    item["body"] = fill_body(body_mask(image) | body_mask(label))
    scored, cases = [], []
    for case, sigma in cases_of(item, CONTRASTS, str(entry["patient"]), BY_MANIFEST):
        cases.append(case)
        scored.append(Scored(case.patient, str(entry["id"]), case.direction, _measures(case, sigma)))
    pairs = () if head is None else tuple(_calibrating(case, model, head, tell) for case in cases)
    return Measured(tuple(scored), tuple(cases), judgements, pairs)


def _measures(case: Case, sigma: float) -> dict[str, float]:
    by_way = {(row.method, row.scaling): row.scores for row in score_case(case)}
    stored = by_way[MODEL, AS_STORED]
    found = {"psnr": stored["psnr"], "ssim": stored["ssim"]}
    found["psnr_gain_matched"] = by_way[MODEL, GAIN_MATCHED]["psnr"]
    found |= {name: stored["psnr"] - by_way[other, AS_STORED]["psnr"] for name, other in _OVER.items()}
    for row in measure_case(case, sigma):
        if row.method != MODEL:
            continue
        if row.measure == "flicker":
            found["flicker"] = row.prediction
        elif row.measure == "fat over muscle" and row.target > 0:
            found["fat_error"] = abs(row.prediction / row.target - 1)
    return found


def _calibrating(case: Case, model: Model, head: nn.Module, tell: Progress) -> Pair:
    from scripts.intervals.calibration import Pair
    from scripts.intervals.scale_inferer import mirrored_spread, scale_of

    target = case.direction.rpartition(" ")[2]
    if case.source is None:
        raise ValueError("a case without its source calibrates nothing; need the source.")
    source, made = case.source, case.pred
    spread = mirrored_spread(lambda volume: infer(model, volume, tell, target)["pred"], source, made)
    scale, seen = scale_of(head, source, made, spread, CONTRASTS.index(target))
    truth = case.references[0]
    return Pair(case.patient, target, source[0], made[0], scale[0], truth.volume[0], truth.body[0] != 0, seen)


def picture_of(case: Case) -> tuple[bytes, int]:
    """Source, synthesis, acquired scan and error of the slice with the median error, as PNG; and its number."""
    from scripts.handlers.panel import captioned, heat, stack
    from scripts.handlers.png import encode_png
    from scripts.report.windows import fixed_window

    made, truth = case.direction.rpartition(" ")[2], case.references[0]
    number = shown_slice(case.pred, truth.volume, truth.body)
    source = CONTRASTS[1 - CONTRASTS.index(made)]
    tiles = []
    for volume, contrast, title in (
        (case.source, source, f"source {source}"),
        (case.pred, made, f"synthesis {made}"),
        (truth.volume, made, f"acquired {made}"),
    ):
        if volume is not None:
            grey = fixed_window(contrast).apply(volume[0, number].numpy())
            tiles.append(captioned(grey[..., None].repeat(3, axis=2), title, f"slice {number + 1}"))
    error = (case.pred - truth.volume)[0, number].abs().numpy()
    tiles.append(captioned(heat(error / 0.3), f"|error| {made}", "0 to 0.3"))
    return encode_png(stack(tiles, axis=1)), number
