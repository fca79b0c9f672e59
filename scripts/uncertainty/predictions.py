# SPDX-License-Identifier: Apache-2.0
"""Predictions of a frozen synthesis and their errors, made once for each patient and direction, and kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from scripts.handlers.files import write_atomically
from scripts.intervals.scale_inferer import mirrored_spread
from scripts.synthesis.uncertainty import body_of
from scripts.weights import load_weights

logger = logging.getLogger(__name__)

Preprocessing = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Inferer = Callable[..., Tensor]


@dataclass(frozen=True)
class Predicted:
    """One patient and direction; volumes are float32 ``(1, D, H, W)`` on the fixed scales.

    Args:
        patient: its name.
        target: number of the contrast that was synthesised.
        source: what went in.
        prediction: what came out.
        spread: see `mirrored_spread`.
        truth: the target without its noise, where there is one, else as acquired.
        body: where to look, told from source and synthesis alone, boolean.
    """

    patient: str
    target: int
    source: Tensor
    prediction: Tensor
    spread: Tensor
    truth: Tensor
    body: Tensor


def predict_pair(
    item: Mapping[str, Any],
    target: int,
    preprocessing: Preprocessing,
    network: nn.Module,
    inferer: Inferer,
    contrasts: Sequence[str],
    every: int = 1,
) -> Predicted:
    """Synthesise one direction of a pair as inference does.

    Args:
        item: ``image`` (domain a), ``label`` (domain b), ``patient`` and, for simulated ones, their clean twins.
        target: number of the contrast to make.
        preprocessing: loads, turns and normalises what the item names.
        network: the synthesis, in evaluation mode.
        inferer: that of inference.
        contrasts: names, domain a first.
        every: so many slices, one is looked at; all of them decide the scale of brightness.
    """
    images = [key for key in ("image", "label", "image_clean", "label_clean") if key in item]
    data = preprocessing({key: item[key] for key in images})
    names = ("image", "label")
    source = _plain(data[names[1 - target]])[:, ::every]
    truth = _plain(data.get(f"{names[target]}_clean", data[names[target]]))[:, ::every]
    device = next(network.parameters()).device

    def predict(volume: Tensor) -> Tensor:
        with torch.inference_mode():
            return inferer(volume[None].contiguous().to(device), network, target=contrasts[target])[0].float().cpu()

    made = predict(source)
    return Predicted(
        str(item.get("patient", "")), target, source, made, mirrored_spread(predict, source, made), truth,
        body_of(source, made),
    )  # fmt: skip


def cached_predictions(
    items: Sequence[Mapping[str, Any]],
    preprocessing: Preprocessing,
    network: nn.Module,
    checkpoint: str,
    inferer: Inferer,
    contrasts: Sequence[str],
    cache_dir: str,
    settings: Mapping[str, Any] | None = None,
    every: int = 1,
) -> list[Path]:
    """Files of predictions, made where they are not there yet; a run that was cut off goes on.

    Args:
        items: pairs.
        preprocessing: see `predict_pair`.
        network: to be filled with the weights.
        checkpoint: file of the weights; its hash names the cache.
        inferer: see `predict_pair`.
        contrasts: names, domain a first.
        cache_dir: where to keep them.
        settings: what else decides the predictions.
        every: see `predict_pair`.

    Returns:
        One file for each pair and direction: ``inputs`` ``(D, 3, H, W)`` and ``label`` ``(D, 2, H, W)``, see
        `ScaleNet` and `LaplaceLoss`, and ``target``.
    """
    weights = hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()
    decided = dict(settings or {}) | ({"every": every} if every > 1 else {})
    key = hashlib.sha256(json.dumps([weights, decided], sort_keys=True).encode()).hexdigest()[:12]
    load_weights(network, Path(checkpoint))
    network.eval().requires_grad_(False)
    files = []
    for number, item in enumerate(items, 1):
        origin = hashlib.sha256(str(item["image"]).encode()).hexdigest()[:8]
        for target in (1, 0):
            path = Path(cache_dir) / f"predictions-{key}" / f"{item['patient']}-{origin}-{target}.pt"
            if not path.is_file():
                made = predict_pair(item, target, preprocessing, network, inferer, contrasts, every)
                write_atomically(path, partial(torch.save, _content(made)))
            files.append(path)
        if number % 8 == 0 or number == len(items):
            logger.info("Predictions of %d of %d patients", number, len(items))
    return files


def _content(made: Predicted) -> dict[str, Any]:
    inputs = torch.cat((made.source, made.prediction, made.spread)).transpose(0, 1)
    label = torch.cat((made.truth - made.prediction, made.body.float())).transpose(0, 1)
    return {"inputs": inputs.half().contiguous(), "label": label.half().contiguous(), "target": made.target}


def _plain(image: Tensor) -> Tensor:
    return (image.as_tensor() if isinstance(image, MetaTensor) else image).float()
