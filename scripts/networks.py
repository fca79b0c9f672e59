# SPDX-License-Identifier: Apache-2.0
"""One content encoder, two decoders, and what the decoders may see of the encoder's skips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from scripts.blocks import SILU_GAIN, ChannelNorm, IntensityBasis, ResidualBlock, convolution

STRATEGIES = ("no_skip", "zero_skip", "source_skip", "gated_skip")
"""What the cross-domain path feeds the decoders: nothing, zeros, the source's own skips, or those behind gates."""


class Encoder(nn.Module):
    """Content encoder: a full-resolution stem, then one halving per level down to the latent code.

    Args:
        in_channels: channels of the image.
        features: channels of the skip at strides 1, 2, 4, ...
        latent_channels: channels of the code, at stride ``2 ** len(features)``.
        norm: normalisation in the residual blocks, one of `scripts.blocks.NORMS`.
    """

    def __init__(self, in_channels: int, features: Sequence[int], latent_channels: int, norm: str = "instance") -> None:
        super().__init__()
        first = features[0]
        basis = IntensityBasis(in_channels)
        self.stem = nn.Sequential(
            basis, convolution(basis.out_channels, first), nn.SiLU(), convolution(first, first, gain=SILU_GAIN)
        )
        self.levels = nn.ModuleList(
            nn.Sequential(nn.SiLU(), convolution(before, after, stride=2, gain=SILU_GAIN), ResidualBlock(after, norm))
            for before, after in pairwise([*features, latent_channels])
        )
        self.bottom = nn.Sequential(ResidualBlock(latent_channels, norm), ChannelNorm(latent_channels))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """``(B, 1, H, W)``, sides multiples of the stride, to the code and the skips, finest first."""
        skips: list[torch.Tensor] = []
        x = self.stem(x)
        for level in self.levels:
            skips.append(x)
            x = level(x)
        return self.bottom(x), skips


class SkipGate(nn.Module):
    """Let through what of a skip the decoder asks for, as it knows the code and coarser skips but not this one.

    Args:
        before: channels of the decoder at this level.
        skip: channels of the skip.
        dropout: chance (0..1) that a slice of a training batch gets no skip here, so that the code must carry what the
            skip would; nothing is scaled, since the decoder is to work with and without it.
    """

    def __init__(self, before: int, skip: int, dropout: float) -> None:
        super().__init__()
        self.ask = convolution(before, skip, size=1)
        self.dropout = dropout

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Decoder ``(B, before, H, W)`` and skip ``(B, skip, H, W)`` to the skip behind its gate."""
        skip = skip * torch.sigmoid(self.ask(x))
        if self.training and self.dropout > 0:
            kept = torch.rand(skip.shape[0], 1, 1, 1, device=skip.device) >= self.dropout
            skip = skip * kept.to(skip.dtype)
        return skip


class DecoderLevel(nn.Module):
    """Double the resolution by interpolation and convolution (no checkerboard), then take in the skip, if any."""

    def __init__(
        self, before: int, after: int, skip: int, residual: bool, dropout: float | None = None, norm: str = "instance"
    ) -> None:
        super().__init__()
        self.gate = None if dropout is None else SkipGate(after, skip, dropout)
        # Before the interpolation, where it is four times cheaper.
        self.reduce = convolution(before, after, size=1, gain=SILU_GAIN)
        self.merge = convolution(after + skip, after)
        self.refine = ResidualBlock(after, norm) if residual else nn.Identity()

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        """``(B, before, H, W)`` to ``(B, after, 2H, 2W)``."""
        x = F.interpolate(self.reduce(F.silu(x)), scale_factor=2.0, mode="bilinear", align_corners=False)
        if skip is not None:
            if self.gate is not None:
                skip = self.gate(x, skip)
            x = torch.cat((x, skip), dim=1)
        return self.refine(self.merge(x))


class Decoder(nn.Module):
    """Image decoder of one contrast.

    Args:
        latent_channels: channels of the code.
        features: channels at strides ``2 ** (n-1), ..., 1``: one per doubling, coarsest first.
        skip_features: channels of the encoder's skips, finest first; empty for a decoder without skips.
        out_channels: channels of the image.
        skip_dropout: chance that a gate drops its skip in training; None for skips without gates.
        norm: normalisation in the residual blocks, one of `scripts.blocks.NORMS`.
    """

    def __init__(
        self,
        latent_channels: int,
        features: Sequence[int],
        skip_features: Sequence[int],
        out_channels: int,
        skip_dropout: float | None = None,
        norm: str = "instance",
    ) -> None:
        super().__init__()
        widths = [latent_channels, *features]
        skips = list(reversed(skip_features)) if skip_features else [0] * len(features)
        self.levels = nn.ModuleList(
            DecoderLevel(before, after, skip, index + 1 < len(features), skip_dropout, norm)
            for index, (before, after, skip) in enumerate(zip(widths[:-1], features, skips, strict=True))
        )
        self.head = nn.Sequential(nn.SiLU(), convolution(features[-1], out_channels, gain=0.1 * SILU_GAIN))

    def forward(self, z: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        """Code ``(B, L, h, w)`` and skips, finest first (or none), to an image."""
        count = len(skips)
        for index, level in enumerate(self.levels):
            skip: torch.Tensor | None = None
            if count > 0:
                skip = skips[count - 1 - index]
            z = level(z, skip)
        return self.head(z)


class CrossContrastNet(nn.Module):
    """Shared-content translation between two registered contrasts ``a`` and ``b``.

    ``forward`` is the product: encode the source, decode as the target. `pair` runs the four paths of training.

    Args:
        contrasts: names of the two contrasts; domain ``a`` first.
        encoder: ``features`` (channels per level, finest first) and ``latent_channels``.
        decoder_a: ``features`` of the decoder of ``a``, coarsest first.
        decoder_b: ``features`` of the decoder of ``b``.
        cross_domain_strategy: what the cross-domain path gets of the skips: one of `STRATEGIES`.
        same_domain_use_skip: whether the same-domain path gets real skips; None follows the strategy.
        allow_asymmetric: accept that the same-domain path sees real skips where the cross-domain path sees none, the
            known failure; for study only.
        skip_dropout: with ``gated_skip``, the chance (0..1) that a gate drops its skip in training.
        shared_encoder: one encoder for both contrasts; otherwise each has its own.
        norm: normalisation in the residual blocks: instance, batch or none.
        in_channels: channels of a source.
        out_channels: channels of what the decoders make.

    Raises:
        ValueError: for settings that contradict each other, or asymmetric ones that were not asked for.
    """

    def __init__(
        self,
        contrasts: Sequence[str],
        encoder: Mapping[str, Any],
        decoder_a: Mapping[str, Any],
        decoder_b: Mapping[str, Any],
        cross_domain_strategy: str = "source_skip",
        same_domain_use_skip: bool | None = None,
        allow_asymmetric: bool = False,
        skip_dropout: float = 0.3,
        shared_encoder: bool = True,
        norm: str = "instance",
        in_channels: int = 1,
        out_channels: int = 1,
    ) -> None:
        super().__init__()
        features, latent = list(encoder["features"]), int(encoder["latent_channels"])
        _check(
            contrasts, features, (decoder_a, decoder_b), cross_domain_strategy, same_domain_use_skip, allow_asymmetric
        )
        if not 0 <= skip_dropout < 1:
            raise ValueError(f"skip_dropout is {skip_dropout:g}; need a chance of at least 0 and less than 1.")
        self.contrasts, self.in_channels = list(contrasts), in_channels
        self.strategy = cross_domain_strategy
        self.zero_cross_skips = cross_domain_strategy == "zero_skip"
        self.use_skips = cross_domain_strategy != "no_skip"
        self.stride = 2 ** len(features)
        self.encoder = Encoder(in_channels, features, latent, norm)
        self.encoder_b = None if shared_encoder else Encoder(in_channels, features, latent, norm)
        skips = features if self.use_skips else []
        dropout = skip_dropout if cross_domain_strategy == "gated_skip" else None
        self.decoder_a = Decoder(latent, list(decoder_a["features"]), skips, out_channels, dropout, norm)
        self.decoder_b = Decoder(latent, list(decoder_b["features"]), skips, out_channels, dropout, norm)

    def forward(self, x: torch.Tensor, target: int = 1) -> torch.Tensor:
        """Synthesise the other contrast.

        Args:
            x: source slices ``(B, 1, H, W)``, normalised magnitude, any height and width.
            target: 0 for contrast ``a``, 1 for contrast ``b``; the source is the other one.

        Returns:
            Target slices of the same shape.
        """
        height, width = x.shape[-2], x.shape[-1]
        z, skips = self.encode(self.pad(x), 1 - target)
        if self.zero_cross_skips:
            skips = [torch.zeros_like(skip) for skip in skips]
        return self.decode(z, skips, target)[..., :height, :width]

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """Repeat the last row and column until both sides are multiples of the stride, and not both one stride."""
        down = (self.stride - x.shape[-2] % self.stride) % self.stride
        right = (self.stride - x.shape[-1] % self.stride) % self.stride
        if x.shape[-2] + down == self.stride and x.shape[-1] + right == self.stride:
            right += self.stride  # instance normalisation needs more than one pixel at the bottom
        return F.pad(x, [0, right, 0, down], mode="replicate") if down + right > 0 else x

    def encode(self, x: torch.Tensor, source: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Padded image of contrast ``source`` (0 or 1) to the content code and the skips that the decoders may see."""
        if self.encoder_b is not None and source == 1:
            z, skips = self.encoder_b(x)
        else:
            z, skips = self.encoder(x)
        if not self.use_skips:
            skips = skips[:0]
        return z, skips

    def decode(self, z: torch.Tensor, skips: list[torch.Tensor], target: int) -> torch.Tensor:
        """Code and skips to an image of the target contrast."""
        if target == 0:
            return self.decoder_a(z, skips)
        return self.decoder_b(z, skips)

    @torch.jit.unused
    def pair(self, a: torch.Tensor, b: torch.Tensor, same_domain: bool = True) -> dict[str, torch.Tensor]:
        """All four paths of a registered pair, or the two that cross.

        Args:
            a: slices of contrast ``a``, ``(B, 1, H, W)``.
            b: the same slices of contrast ``b``.
            same_domain: whether to decode each code to its own contrast as well.

        Returns:
            ``z_a``, ``z_b``, ``a_from_a``, ``b_from_b`` (same domain), ``b_from_a`` and ``a_from_b`` (cross).
        """
        height, width = a.shape[-2:]
        z, skips = self.encode_pair(a, b)
        z_a, z_b = z.chunk(2)
        if not same_domain:
            crossing = [torch.zeros_like(skip) for skip in skips] if self.zero_cross_skips else skips
            b_from_a = self.decode(z_a, [skip.chunk(2)[0] for skip in crossing], 1)[..., :height, :width]
            a_from_b = self.decode(z_b, [skip.chunk(2)[1] for skip in crossing], 0)[..., :height, :width]
            return {"z_a": z_a, "z_b": z_b, "b_from_a": b_from_a, "a_from_b": a_from_b}

        def decode(target: int) -> tuple[torch.Tensor, torch.Tensor]:
            seen = [self._mute(skip, mute_first=target == 1) for skip in skips] if self.zero_cross_skips else skips
            from_a, from_b = self.decode(z, seen, target)[..., :height, :width].chunk(2)
            return from_a, from_b

        a_from_a, a_from_b = decode(0)
        b_from_a, b_from_b = decode(1)
        return {
            "z_a": z_a, "z_b": z_b,
            "a_from_a": a_from_a, "b_from_b": b_from_b, "b_from_a": b_from_a, "a_from_b": a_from_b,
        }  # fmt: skip

    @torch.jit.unused
    def encode_pair(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Codes and skips of slices of both contrasts, padded; those of ``a`` come first in the batch."""
        a, b = self.pad(a), self.pad(b)
        if self.encoder_b is None:
            return self.encode(torch.cat((a, b)), 0)  # in one pass
        (z_a, skips_a), (z_b, skips_b) = self.encode(a, 0), self.encode(b, 1)
        return torch.cat((z_a, z_b)), [torch.cat(both) for both in zip(skips_a, skips_b, strict=True)]

    @staticmethod
    def _mute(skip: torch.Tensor, mute_first: bool) -> torch.Tensor:
        """Zero one half of the batch: the half whose decoding crosses the domains."""
        first, second = skip.chunk(2)
        return torch.cat((torch.zeros_like(first), second) if mute_first else (first, torch.zeros_like(second)))


def _check(
    contrasts: Sequence[str],
    features: list[int],
    decoders: Sequence[Mapping[str, Any]],
    strategy: str,
    same_domain: bool | None,
    allow_asymmetric: bool,
) -> None:
    if len(contrasts) != 2 or len(set(contrasts)) != 2:
        raise ValueError(f"contrasts is {list(contrasts)}; need two different names, domain a first.")
    if strategy not in STRATEGIES:
        raise ValueError(f"cross_domain_strategy is {strategy!r}; choose one of {', '.join(STRATEGIES)}.")
    for name, decoder in zip("ab", decoders, strict=True):
        if len(decoder["features"]) != len(features):
            raise ValueError(
                f"decoder_{name}.features has {len(decoder['features'])} levels and encoder.features {len(features)}; "
                "give both the same number."
            )
    implied = strategy != "no_skip"
    if same_domain is not None and same_domain != implied:
        needed = "zero_skip" if strategy == "no_skip" else "no_skip"
        raise ValueError(
            f"same_domain_use_skip is {same_domain} but cross_domain_strategy {strategy} implies {implied}; "
            f"remove same_domain_use_skip, or set cross_domain_strategy: {needed}."
        )
    if strategy == "zero_skip" and not allow_asymmetric:
        raise ValueError(
            "cross_domain_strategy zero_skip gives the two paths different inputs, the known cause of a failing cross "
            "path; choose source_skip or no_skip, or set allow_asymmetric: true to study the failure."
        )
