# SPDX-License-Identifier: Apache-2.0
"""Evidence of a few batches: what the network does with images of the run's own training data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from scripts.body import body_mask
from scripts.diagnosis.evidence import NONE, Errors, Measured
from scripts.diagnosis.latent import latent_evidence
from scripts.diagnosis.pairing import pairing_evidence
from scripts.diagnosis.parts import left_alone, never_stepped, parts_evidence
from scripts.diagnosis.skips import activation_share, gradient_share, seen_skips, skip_errors, skip_evidence
from scripts.errors import UsageError
from scripts.losses import CrossContrastLoss
from scripts.networks import CrossContrastNet

CHUNK = 4
"""Pairs that go through the network together: two are needed to swap, more would need more memory."""
LEVELS = 32
"""Source intensities of the best fixed mapping."""

Pairs = list[tuple[Tensor, Tensor, Tensor, Tensor]]


def measure(
    network: CrossContrastNet,
    batches: Iterable[Mapping[str, Any]],
    loss: CrossContrastLoss,
    count: int = 5,
    optimizer: Optimizer | None = None,
    optimizer_state: Mapping[str, Any] | None = None,
) -> Measured:
    """Measure a network on batches; it is left as it was.

    Args:
        network: the network.
        batches: with ``image`` and ``label`` ``(B, 1, H, W)``, and ``gain`` and ``origin`` where the data have them, as
            the trainer takes them.
        loss: the training loss.
        count: batches to take.
        optimizer: the run's optimiser, which knows what it moves.
        optimizer_state: its state out of a checkpoint, which knows what it has moved.

    Raises:
        UsageError: the batches hold fewer than two slices, or the network has no encoder and decoders.
    """
    if not all(isinstance(getattr(network, name, None), nn.Module) for name in ("encoder", "decoder_a", "decoder_b")):
        raise UsageError(
            f"the network is a {type(network).__name__}; need encoder, decoder_a, decoder_b as in CrossContrastNet."
        )
    device = next(network.parameters()).device
    chunks, patients = _pairs(islice(batches, count), device)
    unmoved = left_alone(network, optimizer) | never_stepped(network, optimizer_state)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            a, b, in_a, in_b = chunks[0]
            seen = seen_skips(network, in_a, in_b)
            paths = [
                {name: value.float().cpu() for name, value in network.pair(in_a, in_b).items()}
                for _, _, in_a, in_b in chunks
            ]
            errors = [skip_errors(network, a, b, (in_a, in_b), seen) for a, b, in_a, in_b in chunks]
            activation = activation_share(network, (in_a, in_b))
        with _gradients(network):
            share = gradient_share(network, a, b, (in_a, in_b))
            recon_share = _backward(network, chunks, loss)
            every_a, every_b = (torch.cat([chunk[i] for chunk in chunks]).cpu() for i in (0, 1))
            found = {name: torch.cat([path[name] for path in paths]) for name in paths[0]}
            parts = parts_evidence(network, unmoved, _spreads(found, every_a, every_b))
    finally:
        network.train(was_training)
    return Measured(
        slices=len(every_a),
        recon=_same_domain(found, every_a, every_b),
        cross=_cross_domain(found, every_a, every_b),
        latent=latent_evidence(found["z_a"], found["z_b"]),
        skips=None if NONE in seen else skip_evidence(errors, share, activation),
        pairing=pairing_evidence(every_a, every_b, patients),
        parts=parts,
        same_domain=seen[0],
        cross_domain=seen[1],
        recon_share=recon_share,
    )


def _pairs(batches: Iterable[Mapping[str, Any]], device: torch.device) -> tuple[Pairs, Tensor | None]:
    """Targets and inputs in chunks of at least two pairs, and the patient of each pair."""
    images: list[list[Tensor]] = [[], [], [], []]
    patients = []
    for batch in batches:
        a, b = (torch.as_tensor(batch[key]).float() for key in ("image", "label"))
        gain = torch.as_tensor(batch.get("gain", torch.ones(len(a), 2))).float()[:, :, None, None, None]
        given = (torch.as_tensor(batch.get(f"{key}_input", batch[key])).float() for key in ("image", "label"))
        for found, part in zip(images, (a, b, *(one * gain[:, i] for i, one in enumerate(given))), strict=True):
            found.append(part)
        if "origin" in batch:
            patients.append(torch.as_tensor(batch["origin"])[:, 0])
    slices = sum(len(part) for part in images[0])
    if slices < 2:
        raise UsageError(
            f"the batches hold {slices} slices; need at least 2; take more batches or a larger batch_size."
        )
    if len({part.shape[1:] for part in images[0] + images[1]}) > 1:
        raise UsageError("the batches hold slices of several sizes; need one, as training crops them.")
    whole = [torch.cat(parts).to(device) for parts in images]
    starts = list(range(0, slices - 1 if slices % CHUNK == 1 else slices, CHUNK))  # no pair alone: it joins the last
    ends = [*starts[1:], slices]
    chunks = [tuple(image[start:end] for image in whole) for start, end in zip(starts, ends, strict=True)]
    return chunks, torch.cat(patients) if len(patients) == len(images[0]) else None  # type: ignore[return-value]


@contextmanager
def _gradients(network: nn.Module) -> Iterator[None]:
    """Room for gradients of our own; the network gets its old ones back."""
    before = {name: parameter.grad for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = None
    try:
        yield
    finally:
        for name, parameter in network.named_parameters():
            parameter.grad = before[name]


def _backward(network: CrossContrastNet, chunks: Pairs, loss: CrossContrastLoss) -> float:
    """Leave the gradient of the training loss in the network; give recon's share of recon and cross in the encoder."""
    encoder = [parameter for parameter in network.encoder.parameters() if parameter.requires_grad]
    sums: dict[str, list[Tensor]] = {}
    with torch.enable_grad():
        for a, b, in_a, in_b in chunks:
            terms = loss(network.pair(in_a, in_b), a, b)
            for term in ("recon", "cross"):
                if encoder and terms[term].requires_grad:
                    _add(sums, term, torch.autograd.grad(terms[term], encoder, retain_graph=True, allow_unused=True))
            if terms["loss"].requires_grad:
                terms["loss"].backward()
    norms = {
        term: loss.weights[term] * float(sum(gradient.square().sum() for gradient in gradients)) ** 0.5
        for term, gradients in sums.items()
    }
    return norms.get("recon", 0.0) / max(sum(norms.values()), 1e-30)


def _add(sums: dict[str, list[Tensor]], term: str, gradients: Sequence[Tensor | None]) -> None:
    present = [torch.zeros(()) if gradient is None else gradient.detach().float().cpu() for gradient in gradients]
    sums[term] = [old + new for old, new in zip(sums[term], present, strict=True)] if term in sums else present


def _spreads(found: Mapping[str, Tensor], a: Tensor, b: Tensor) -> dict[str, float]:
    """Contrast of each decoder's images, from either code, over that of its targets."""
    return {
        "decoder_a": _contrast(torch.cat((found["a_from_a"], found["a_from_b"]))) / max(_contrast(a), 1e-12),
        "decoder_b": _contrast(torch.cat((found["b_from_b"], found["b_from_a"]))) / max(_contrast(b), 1e-12),
    }


def _contrast(images: Tensor) -> float:
    return float(images.flatten(1).std(1).mean())


def _distance(x: Tensor, y: Tensor) -> float:
    return float((x - y).abs().mean())


def _same_domain(found: Mapping[str, Tensor], a: Tensor, b: Tensor) -> Errors:
    into_a, into_b = _distance(found["a_from_a"], a), _distance(found["b_from_b"], b)
    yardstick = sum(_distance(image.median().expand_as(image), image) for image in (a, b))
    return Errors(into_a, into_b, (into_a + into_b) / max(yardstick, 1e-12))


def _cross_domain(found: Mapping[str, Tensor], a: Tensor, b: Tensor) -> Errors:
    into_a, into_b = _distance(found["a_from_b"], a), _distance(found["b_from_a"], b)
    yardstick = _distance(best_mapping(a, b), b) + _distance(best_mapping(b, a), a)
    return Errors(into_a, into_b, (into_a + into_b) / max(yardstick, 1e-12))


def best_mapping(source: Tensor, target: Tensor) -> Tensor:
    """Map each source intensity to the median target among the pixels that have it, in `LEVELS` equally filled bins.

    No function of intensity alone does better in absolute difference, up to the bins.

    Args:
        source: images, any shape.
        target: images of the same shape.
    """
    inside = body_mask(source) | body_mask(target)
    values = source[inside]
    edges = torch.quantile(values[:: max(1, values.numel() // 2**20)], torch.linspace(0, 1, LEVELS + 1)[1:-1])
    # Air is a level of its own: it is most of an image, and would fill most of the equally filled bins.
    level = torch.where(inside, torch.bucketize(source, edges), LEVELS)
    medians = torch.stack(
        [target[level == k].median() if bool((level == k).any()) else torch.tensor(0.0) for k in range(LEVELS + 1)]
    )
    return medians[level]
