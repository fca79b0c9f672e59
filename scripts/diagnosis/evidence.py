# SPDX-License-Identifier: Apache-2.0
"""What a diagnosis knows about a run before it judges: settings, measurements and curves, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NONE, ZEROS, REAL = "none", "zeros", "real"
"""What a path feeds its decoder in place of the skips: nothing, zeros, the encoder's own."""


@dataclass(frozen=True)
class Static:
    """What the config says.

    Args:
        same_domain: skips of the same-domain path, as configured: `NONE`, `ZEROS` or `REAL`.
        cross_domain: skips of the cross-domain path, as configured.
        loss_weights: weight of content, recon and cross.
        latent_channels: channels of the code; None where the config does not say.
        encoder_features: channels of the encoder's levels, finest first.
        decoder_a_features: channels of the decoder of contrast a, coarsest first.
        decoder_b_features: channels of the decoder of contrast b, coarsest first.
        fine_tuned: whether training starts from given weights, so that its losses start low.
    """

    same_domain: str
    cross_domain: str
    loss_weights: Mapping[str, float]
    latent_channels: int | None = None
    encoder_features: tuple[int, ...] = ()
    decoder_a_features: tuple[int, ...] = ()
    decoder_b_features: tuple[int, ...] = ()
    fine_tuned: bool = False

    @property
    def asymmetric(self) -> bool:
        """Whether the two paths feed the decoders different things."""
        return self.same_domain != self.cross_domain


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors of one path in each contrast, on the fixed scale, and what they are measured by.

    Args:
        into_a: error of the decoded contrast a.
        into_b: error of the decoded contrast b.
        relative: sum of both over the sum of the yardstick's errors. Yardstick of the same-domain path: the median
            image value in the body. Of the cross-domain path: the best fixed mapping of source to target intensity,
            fitted to these very pixels.
    """

    into_a: float
    into_b: float
    relative: float

    @property
    def total(self) -> float:
        """As the loss adds them."""
        return self.into_a + self.into_b


@dataclass(frozen=True)
class Latent:
    """The code ``z`` of both contrasts over all pixels of all batches.

    Args:
        content: mean ``|z_a - z_b|`` over the standard deviation of ``z``: 0 for equal codes.
        unrelated: the same for codes of different images; what ``content`` would be for codes that share nothing.
        deviation: standard deviation over places and images, root mean square over channels.
        variation: ``deviation`` over the root mean square of ``z``: 0 for a code that is the same everywhere.
        rank: effective rank (Roy and Vetterli 2007): exponential of the entropy of the normalised singular values of
            the centred code, from 1 to the number of channels.
        channels: channels of the code.
    """

    content: float
    unrelated: float
    deviation: float
    variation: float
    rank: float
    channels: int


@dataclass(frozen=True)
class SkipUse:
    """What the decoders do with the skips, by taking them away. Ratios of errors: 1 means that nothing changed.

    Args:
        recon: ratio of the same-domain error for skips ``zeroed``, ``swapped`` (another image's) and ``shuffled`` (the
            same values at other places).
        cross: the same for the cross-domain error, each path with the skips that the network itself gives it.
        code_swapped: ratio of the (same-domain, cross-domain) errors with another image's code and the own skips.
        gradient_share: of the gradient that leaves the decoders, norm of the part that leaves through skips, 0..1.
        activation_share: of what enters the decoders' merging convolutions' sums, norm of the skips' part, 0..1.
    """

    recon: Mapping[str, float] = field(default_factory=dict)
    cross: Mapping[str, float] = field(default_factory=dict)
    code_swapped: tuple[float, float] = (1.0, 1.0)
    gradient_share: float = 0.0
    activation_share: float = 0.0


@dataclass(frozen=True)
class Pairing:
    """Whether image a and image b of a pair show the same thing at the same place.

    Args:
        shift: median distance between a and b at their best overlap [pixels].
        peak: prominence of that overlap over the one that unrelated pairs reach; near 1, the shift means nothing.
        information: mutual information of pairs over that of unrelated pairs; 1 for pairs that share nothing.
        pairs: number of pairs looked at.
    """

    shift: float
    peak: float
    information: float
    pairs: int


@dataclass(frozen=True)
class Part:
    """One part of the network: the encoder or a decoder.

    Args:
        frozen: share of its parameters that training cannot or did not move.
        dead: share of the others whose gradient is exactly zero.
        broken: whether a parameter is not finite.
        spread: of a decoder, standard deviation of its images over that of the targets, 0 for a constant image;
            None for the encoder.
    """

    frozen: float
    dead: float
    broken: bool
    spread: float | None = None


@dataclass(frozen=True)
class Measured:
    """What a few batches showed.

    Args:
        slices: number of pairs of slices.
        recon: same-domain errors.
        cross: cross-domain errors.
        latent: the code.
        skips: what skips do; None for a network without.
        pairing: what the data are like.
        parts: ``encoder``, ``decoder_a``, ``decoder_b``.
        same_domain: skips that the same-domain path was seen to use: `NONE`, `ZEROS` or `REAL`.
        cross_domain: those of the cross-domain path.
        recon_share: of the gradients of weighted recon and cross in the encoder, norm of recon's part, 0..1.
    """

    slices: int
    recon: Errors
    cross: Errors
    latent: Latent
    skips: SkipUse | None
    pairing: Pairing
    parts: Mapping[str, Part]
    same_domain: str
    cross_domain: str
    recon_share: float


@dataclass(frozen=True)
class Slope:
    """One loss over the epochs.

    Args:
        first: value of the first epoch.
        last: mean over the last epochs.
        drop: share of ``first`` that is gone: 0 for none, negative where the loss rose.
        slope: relative change per epoch over the last epochs; negative while the loss falls.
    """

    first: float
    last: float
    drop: float
    slope: float


@dataclass(frozen=True)
class Trend:
    """What the curves show.

    Args:
        epochs: finished epochs.
        losses: by name (content, recon, cross), those in the table; empty below three epochs.
        finite: whether the last row holds numbers only.
        score_gain: rise of the validation PSNR since the first validation [dB]; None without two validations.
    """

    epochs: int
    losses: Mapping[str, Slope]
    finite: bool = True
    score_gain: float | None = None


@dataclass(frozen=True)
class Evidence:
    """All that is known; each part may be missing.

    Args:
        static: from the config.
        measured: from batches.
        trend: from the curves.
        epochs: finished epochs of the weights; None where nobody knows, 0 for weights that were just drawn.
    """

    static: Static | None = None
    measured: Measured | None = None
    trend: Trend | None = None
    epochs: int | None = None

    @property
    def epochs_done(self) -> int | None:
        """Finished epochs, by the weights or else by the curves; None where nobody knows."""
        if self.epochs is not None:
            return self.epochs
        return self.trend.epochs if self.trend is not None else None
