# SPDX-License-Identifier: Apache-2.0
"""Evidence of the skips: what the decoders lose without them, and how much goes through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scripts.diagnosis.evidence import NONE, REAL, ZEROS, SkipUse
from scripts.networks import CrossContrastNet

Skips = list[Tensor]
Errors = dict[str, float]


def zeroed(skips: Skips) -> Skips:
    """Nothing where the skips were."""
    return [torch.zeros_like(skip) for skip in skips]


def swapped(skips: Skips) -> Skips:
    """The skips of another image of the same contrast; the batch holds contrast a, then b."""
    return [torch.cat([half.roll(1, 0) for half in skip.chunk(2)]) for skip in skips]


def shuffled(skips: Skips) -> Skips:
    """The same values at other places: each skip's pixels in one random order."""
    generator = torch.Generator().manual_seed(0)
    out = []
    for skip in skips:
        order = torch.randperm(skip.shape[-2] * skip.shape[-1], generator=generator).to(skip.device)
        out.append(skip.flatten(2)[..., order].reshape(skip.shape))
    return out


CHANGES: dict[str, Callable[[Skips], Skips]] = {"zeroed": zeroed, "swapped": swapped, "shuffled": shuffled}


def seen_skips(network: CrossContrastNet, a: Tensor, b: Tensor) -> tuple[str, str]:
    """What the four training paths of a network feed their decoders, found by decoding the alternatives.

    Args:
        network: the network.
        a: slices of contrast a ``(B, 1, H, W)``.
        b: slices of contrast b.

    Returns:
        Kind of the same-domain and of the cross-domain path: `NONE` (there are no skips), `ZEROS` or `REAL`.
    """
    paths = network.pair(a, b)
    z, skips = network.encode_pair(a, b)
    if not skips:
        return NONE, NONE
    height, width = a.shape[-2:]
    real, none = network.decode(z, skips, 1), network.decode(z, zeroed(skips), 1)
    (from_a, from_b), (zero_a, zero_b) = (image[..., :height, :width].chunk(2) for image in (real, none))

    def nearest(found: Tensor, with_skips: Tensor, without: Tensor) -> str:
        return ZEROS if float((found - without).abs().mean()) < float((found - with_skips).abs().mean()) else REAL

    return nearest(paths["b_from_b"], from_b, zero_b), nearest(paths["b_from_a"], from_a, zero_a)


def decode_all(
    network: CrossContrastNet, z: Tensor, skips: Skips, seen: tuple[str, str], a: Tensor, b: Tensor
) -> tuple[float, float]:
    """Same-domain and cross-domain error with given codes and skips, each path fed as the network feeds it.

    Args:
        network: the network.
        z: codes of contrast a, then b ``(2B, C, h, w)``.
        skips: skips of the same.
        seen: what each path sees, see `seen_skips`.
        a: targets of contrast a ``(B, 1, H, W)``.
        b: targets of contrast b.
    """
    height, width = a.shape[-2:]

    def error(kind: str, same: bool) -> float:
        given = zeroed(skips) if kind == ZEROS else skips
        total = 0.0
        for target, truth in enumerate((a, b)):
            source = target if same else 1 - target
            half = [skip.chunk(2)[source] for skip in given]
            image = network.decode(z.chunk(2)[source], half, target)[..., :height, :width]
            total += float(F.l1_loss(image.float(), truth))
        return total

    return error(seen[0], same=True), error(seen[1], same=False)


def skip_errors(
    network: CrossContrastNet, a: Tensor, b: Tensor, inputs: tuple[Tensor, Tensor], seen: tuple[str, str]
) -> dict[str, tuple[float, float]]:
    """Errors of both paths as they are (``own``), with changed skips, and with another image's code."""
    z, skips = network.encode_pair(*inputs)
    found = {"own": decode_all(network, z, skips, seen, a, b)}
    for name, change in CHANGES.items():
        found[name] = decode_all(network, z, change(skips), seen, a, b)
    (found_z,) = swapped([z])
    found["code"] = decode_all(network, found_z, skips, seen, a, b)
    return found


def gradient_share(network: CrossContrastNet, a: Tensor, b: Tensor, inputs: tuple[Tensor, Tensor]) -> float:
    """Share of the decoders' input gradient that flows into the skips, for recon of both contrasts, 0..1."""
    with torch.no_grad():
        z, skips = network.encode_pair(*inputs)
    leaves = [value.detach().requires_grad_(True) for value in (z, *skips)]
    height, width = a.shape[-2:]
    loss = torch.zeros((), device=a.device)
    for target, truth in enumerate((a, b)):
        first, *rest = (leaf.chunk(2)[target] for leaf in leaves)
        loss = loss + F.l1_loss(network.decode(first, rest, target)[..., :height, :width].float(), truth)
    gradients = torch.autograd.grad(loss, leaves)
    through = [float(gradient.float().square().sum()) for gradient in gradients]
    return (sum(through[1:]) / max(sum(through), 1e-30)) ** 0.5


def activation_share(network: CrossContrastNet, inputs: tuple[Tensor, Tensor]) -> float:
    """Share of the skips in what the decoders' merging convolutions sum up, as norms, 0..1.

    A merging convolution takes its level's features and the skip side by side; it is linear, so its output is the sum
    of what each contributes alone.
    """
    sums = [0.0, 0.0]

    def look(module: nn.Module, arguments: Sequence[Any]) -> None:
        width = module.out_channels  # its level's features come first
        (x,) = arguments
        if x.shape[1] <= width:
            return
        weight: Tensor = module.weight  # type: ignore[assignment]
        for index, part in enumerate((slice(None, width), slice(width, None))):
            share = F.conv2d(x[:, part], weight[:, part], padding="same")
            sums[index] += float(share.float().square().sum())

    merging = [
        level.merge
        for decoder in (network.decoder_a, network.decoder_b)
        for level in getattr(decoder, "levels", ())
        if isinstance(getattr(level, "merge", None), nn.Conv2d)
    ]
    hooks = [convolution.register_forward_pre_hook(look) for convolution in merging]
    try:
        network.pair(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return (sums[1] / max(sum(sums), 1e-30)) ** 0.5


def skip_evidence(errors: Sequence[dict[str, tuple[float, float]]], gradient: float, activation: float) -> SkipUse:
    """Gather what `skip_errors` found in each batch."""
    total = {name: [sum(batch[name][path] for batch in errors) for path in (0, 1)] for name in errors[0]}
    recon, cross = ({name: total[name][path] / max(total["own"][path], 1e-12) for name in total} for path in (0, 1))
    return SkipUse(
        recon={name: recon[name] for name in CHANGES},
        cross={name: cross[name] for name in CHANGES},
        code_swapped=(recon["code"], cross["code"]),
        gradient_share=gradient,
        activation_share=activation,
    )
