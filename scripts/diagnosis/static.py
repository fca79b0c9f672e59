# SPDX-License-Identifier: Apache-2.0
"""Evidence of the config: what each path feeds the decoders, how the losses are weighted, how wide the network is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.diagnosis.evidence import NONE, REAL, ZEROS, Static
from scripts.errors import UsageError
from scripts.losses import TERMS

_CROSS = {"no_skip": NONE, "zero_skip": ZEROS, "source_skip": REAL, "gated_skip": REAL}


def static_evidence(
    loss_weights: Mapping[str, float],
    cross_domain_strategy: str | None = None,
    same_domain_use_skip: bool | None = None,
    encoder: Mapping[str, Any] | None = None,
    decoder_a: Mapping[str, Any] | None = None,
    decoder_b: Mapping[str, Any] | None = None,
    initial_weights: str = "",
) -> Static:
    """Read the settings of a run, those of `CrossContrastNet` by their names there.

    Args:
        loss_weights: weight per term.
        cross_domain_strategy: what the cross-domain path sees; an unknown or missing one counts as symmetric.
        same_domain_use_skip: whether the same-domain path sees real skips; None follows the strategy.
        encoder: ``features`` and ``latent_channels``.
        decoder_a: ``features``.
        decoder_b: ``features``.
        initial_weights: file that training starts from; empty for none.

    Raises:
        UsageError: a weight is missing or no number.
    """
    try:
        weights = {term: float(loss_weights[term]) for term in TERMS}
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"loss_weights is {loss_weights}; need a number for each of {', '.join(TERMS)}; complete the config."
        ) from error
    cross = _CROSS.get(str(cross_domain_strategy), REAL)
    same = REAL if cross != NONE else NONE
    if same_domain_use_skip is not None:
        same = REAL if same_domain_use_skip else NONE
    return Static(
        same_domain=same,
        cross_domain=cross,
        loss_weights=weights,
        latent_channels=_whole((encoder or {}).get("latent_channels")),
        encoder_features=_features(encoder),
        decoder_a_features=_features(decoder_a),
        decoder_b_features=_features(decoder_b),
        fine_tuned=bool(initial_weights),
    )


def _features(part: Mapping[str, Any] | None) -> tuple[int, ...]:
    return tuple(int(width) for width in (part or {}).get("features", ()))


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
