# SPDX-License-Identifier: Apache-2.0
"""Where health ends: every number that a verdict depends on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Limits of a diagnosis; each may be set in ``thresholds`` of a config.

    Args:
        epochs: fewest epochs before losses are judged; slopes are taken over at least as many.
        content: content over std(z) above which a failing cross path is the encoder's: the same anatomy gets two codes.
        deviation: std(z) below which the code has collapsed.
        variation: std(z) over rms(z) below which the code is the same everywhere.
        rank: effective rank of z below which it has collapsed.
        recon: same-domain error over that of a constant image above which the decoders fail.
        cross: cross-domain error over that of the best fixed intensity mapping above which the cross path fails.
        skip_rise: ratio by which recon rises without skips that makes it depend on them.
        code_use: ratio by which errors rise with another image's code, below which the code is not used.
        weight_ratio: recon weight over cross weight above which recon dominates.
        recon_share: share of recon in the encoder's gradient above which it dominates.
        shift: pixels between the images of a pair.
        peak: prominence of the best overlap, relative to unrelated pairs, above which a shift is believed and below
            which a pair may be no pair.
        information: mutual information relative to unrelated pairs below which a pair may be no pair.
        dead: share of a part's parameters without gradient, or frozen, above which the part is at fault.
        spread: contrast of a decoder's images relative to the targets' below which the decoder is dead.
        flat: share of a loss that must be gone since the first epoch, else it is flat.
        falling: share of recon that must be gone while cross is flat.
        slope: relative change per epoch below which a loss still falls.
        score_gain: rise of the validation PSNR [dB] that shows that the cross path learns.
    """

    epochs: int = 3
    content: float = 0.1
    deviation: float = 0.01
    variation: float = 0.05
    rank: float = 1.5
    recon: float = 1.0
    cross: float = 1.25
    skip_rise: float = 2.0
    code_use: float = 1.1
    weight_ratio: float = 10.0
    recon_share: float = 0.9
    shift: float = 4.0
    peak: float = 1.5
    information: float = 1.2
    dead: float = 0.05
    spread: float = 0.05
    flat: float = 0.03
    falling: float = 0.2
    slope: float = -0.005
    score_gain: float = 0.3
