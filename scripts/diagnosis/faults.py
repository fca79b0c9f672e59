# SPDX-License-Identifier: Apache-2.0
"""Faults that the evidence proves by itself, whatever the losses do; each check gives a verdict or None."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.diagnosis.evidence import NONE, REAL, ZEROS, Evidence, Part
from scripts.diagnosis.thresholds import Thresholds
from scripts.diagnosis.verdict import Kind, Verdict


def broken(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    """Weights that are no numbers."""
    for name, part in _parts(evidence):
        if part.broken:
            return Verdict(
                Kind.ENCODER if name == "encoder" else Kind.DECODER,
                f"The {_spoken(name)} holds weights that are no numbers.",
                (f"{name} has weights that are NaN or infinite.",),
                "Start again with a lower learning rate.",
                {"learning_rate": 0.0001},
            )
    return None


def asymmetric(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    """Skips in the one path and not in the other."""
    reasons = []
    static, measured, trend = evidence.static, evidence.measured, evidence.trend
    if static is not None and static.asymmetric:
        reasons.append(f"The config gives {_fed(static.same_domain, static.cross_domain)}.")
    if measured is not None and measured.same_domain != measured.cross_domain:
        reasons.append(f"The network gives {_fed(measured.same_domain, measured.cross_domain)}.")
    if not reasons:
        return None
    if measured is not None and measured.skips is not None and measured.skips.recon:
        reasons.append(f"Zeroing the skips changes recon by a factor of {measured.skips.recon['zeroed']:.2f}.")
    if trend is not None and "cross" in trend.losses and trend.losses["cross"].drop < limits.flat:
        reasons.append(f"Cross is flat: {trend.losses['cross'].drop:.0%} is gone after {trend.epochs} epochs.")
    return Verdict(
        Kind.SKIPS,
        "The decoders learn to lean on skips that the cross-domain path does not have.",
        tuple(reasons),
        "Give both paths the same skips.",
        {"cross_domain_strategy": "source_skip", "same_domain_use_skip": None, "allow_asymmetric": False},
    )


def unpaired(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    """Images and labels of different knees, or shifted against each other."""
    if evidence.measured is None:
        return None
    pairing = evidence.measured.pairing
    if pairing.peak < limits.peak and pairing.information < limits.information:
        return Verdict(
            Kind.UNPAIRED,
            "The pairs do not show the same knee: image and label have no more in common than images of strangers.",
            (
                f"Mutual information is {pairing.information:.2f} times that of unrelated images "
                f"(need {limits.information:g}).",
                f"Edges overlap {pairing.peak:.2f} times as well as those of unrelated images (need {limits.peak:g}).",
            ),
            "Match each PDFS with the PD of the same knee and the same slices, then diagnose again.",
        )
    if pairing.peak >= limits.peak and pairing.shift > limits.shift:
        return Verdict(
            Kind.UNPAIRED,
            f"The two images of a pair are shifted against each other by about {pairing.shift:.0f} pixels.",
            (
                f"The edges of a pair overlap best at a shift of {pairing.shift:.1f} pixels, in the median of "
                f"{pairing.pairs} slices (at most {limits.shift:g}).",
                f"There they overlap {pairing.peak:.1f} times as well as those of unrelated images.",
            ),
            "Register each PDFS to its PD and resample it, then diagnose again.",
        )
    return None


def frozen(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    """Weights that take no gradient, or that the optimiser never moved."""
    for name, part in _parts(evidence):
        if part.frozen > limits.dead:
            return Verdict(
                Kind.ENCODER if name == "encoder" else Kind.DECODER,
                f"The {_spoken(name)} is frozen: training does not move its weights.",
                (f"{part.frozen:.0%} of the weights of {name} take no gradient, or the optimiser never moved them.",),
                "Hand all of the network's parameters to the optimiser, and leave requires_grad on.",
                {"optimizer.params": "$@network.parameters()"},
            )
    return None


def dead_decoder(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    """A decoder of which part does not answer any more."""
    for name, part in _parts(evidence):
        if name == "encoder":
            continue
        reasons = []
        if part.spread is not None and part.spread < limits.spread and _trained(evidence):
            reasons.append(f"The images of {name} have {part.spread:.1%} of their targets' contrast.")
        if part.dead > limits.dead:
            reasons.append(f"{part.dead:.0%} of the weights of {name} have a gradient of exactly zero.")
        if reasons:
            return Verdict(
                Kind.DECODER,
                f"The {_spoken(name)} is dead: part of it does not answer any more.",
                tuple(reasons),
                "Train it anew: weights that are zero, or layers that multiply by zero, do not come back.",
                {"initial_weights": ""},
            )
    return None


def dead_encoder(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    """An encoder that no gradient arrives at."""
    for name, part in _parts(evidence):
        if name == "encoder" and part.dead > limits.dead:
            return Verdict(
                Kind.ENCODER,
                "The encoder does not learn: no gradient arrives at it.",
                (f"{part.dead:.0%} of the encoder's weights have a gradient of exactly zero.",),
                "Look for a detach or a zero between the losses and the encoder, then train anew.",
                {"initial_weights": ""},
            )
    return None


def recon_dominates(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    """Recon that drowns cross."""
    reasons = []
    static, measured = evidence.static, evidence.measured
    if static is not None:
        recon, cross = static.loss_weights["recon"], static.loss_weights["cross"]
        if recon > limits.weight_ratio * cross:
            reasons.append(f"Recon weighs {recon:g} and cross {cross:g} (at most {limits.weight_ratio:g} to 1).")
    if measured is not None and measured.recon_share > limits.recon_share:
        reasons.append(
            f"{measured.recon_share:.0%} of the encoder's gradient comes from recon (at most {limits.recon_share:.0%})."
        )
    # The gradient alone does not prove it: a cross loss that has been learned has a small gradient too.
    if not reasons or (static is not None and static.loss_weights["recon"] <= static.loss_weights["cross"]):
        return None
    return Verdict(
        Kind.RECON,
        "Recon drowns cross: the network learns to copy images rather than to translate them.",
        tuple(reasons),
        "Weigh recon at a twentieth of cross.",
        {"loss_weights.recon": 0.05, "loss_weights.cross": 1.0},
    )


def collapsed(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    """A code that is nearly the same for whatever the image shows."""
    if evidence.measured is None:
        return None
    latent = evidence.measured.latent
    reasons = []
    if latent.deviation < limits.deviation:
        reasons.append(f"The standard deviation of z is {latent.deviation:.2g} (need {limits.deviation:g}).")
    skips = evidence.measured.skips
    # A faint code that the decoders still listen to is a matter of scale.
    if latent.variation < limits.variation and (skips is None or max(skips.code_swapped) < limits.code_use):
        reasons.append(f"z varies by {latent.variation:.1%} of its size between places (need {limits.variation:.0%}).")
        if skips is not None:
            reasons.append(f"Another image's code changes cross only by a factor of {skips.code_swapped[1]:.2f}.")
    if latent.channels > 1 and latent.rank < limits.rank:
        reasons.append(f"The {latent.channels} channels of z have an effective rank of {latent.rank:.2f}.")
    if not reasons:
        return None
    weight = evidence.static.loss_weights["content"] if evidence.static is not None else 1.0
    return Verdict(
        Kind.COLLAPSED,
        "The latent code has collapsed: it is nearly the same for whatever the image shows.",
        tuple(reasons),
        "Weigh content less and train anew: a constant code is the cheapest way to make both codes equal.",
        {"loss_weights.content": float(f"{min(0.002, weight / 10):.1g}"), "initial_weights": ""},
    )


def _parts(evidence: Evidence) -> Iterator[tuple[str, Part]]:
    if evidence.measured is not None:
        yield from evidence.measured.parts.items()


def _spoken(part: str) -> str:
    return part.replace("decoder_", "decoder of contrast ")


def _fed(same: str, cross: str) -> str:
    words = {NONE: "no skips", ZEROS: "zeros in place of skips", REAL: "real skips"}
    return f"the same-domain path {words[same]} and the cross-domain path {words[cross]}"


def _trained(evidence: Evidence) -> bool:
    """Whether the weights are more than drawn: a fresh decoder's images may be as good as constant."""
    return evidence.epochs_done != 0
