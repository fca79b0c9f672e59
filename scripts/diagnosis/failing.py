# SPDX-License-Identifier: Apache-2.0
"""What explains losses that stay too high: the best explanation, not a proof."""

from __future__ import annotations

from scripts.diagnosis.evidence import Evidence
from scripts.diagnosis.thresholds import Thresholds
from scripts.diagnosis.verdict import Kind, Verdict


def explain_losses(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    """What explains losses that are too high or flat after enough epochs; None where they are fine."""
    measured = evidence.measured
    if measured is None:
        return _curves(evidence, limits)
    if measured.cross.relative < limits.cross:
        return None  # the product is good; recon may be poor where its weight is small
    failing = (
        f"Cross is {measured.cross.relative:.2f} times the error of the best fixed intensity mapping "
        f"(at most {limits.cross:g})."
    )
    cross = evidence.trend.losses.get("cross") if evidence.trend is not None else None
    if cross is None or cross.slope < limits.slope:
        return Verdict(
            Kind.EARLY,
            "The cross-domain path is still poor, and too early to tell: "
            + ("there are no curves of three epochs." if cross is None else "its loss still falls."),
            (failing,),
            "Train on, then diagnose the run folder.",
        )
    recon_counts = evidence.static is None or evidence.static.loss_weights["recon"] > 0
    if recon_counts and measured.recon.relative >= limits.recon:
        return Verdict(
            Kind.DECODER,
            "The decoders fail at their own contrast: a constant image would do as well.",
            (
                failing,
                f"Recon is {measured.recon.relative:.2f} times the error of a constant image (need {limits.recon:g}).",
            ),
            "Train anew from fresh weights; if it stays so, lower the learning rate.",
            {"initial_weights": ""},
            sure=False,
        )
    skips, latent = measured.skips if recon_counts else None, measured.latent
    if skips is not None and skips.recon["zeroed"] > limits.skip_rise and skips.code_swapped[0] < limits.code_use:
        return Verdict(
            Kind.SKIPS,
            "Recon lives on the skips, the code carries nothing, and the cross-domain path fails.",
            (
                failing,
                f"Zeroing the skips raises recon {skips.recon['zeroed']:.1f}-fold (at most {limits.skip_rise:g}).",
                f"Another image's code changes recon only by a factor of {skips.code_swapped[0]:.2f}.",
            ),
            "Take the skips away from both paths, so that everything has to pass the code.",
            {"cross_domain_strategy": "no_skip", "same_domain_use_skip": None},
            sure=False,
        )
    if latent.content > limits.content and latent.content > 0.8 * latent.unrelated:
        return Verdict(
            Kind.ENCODER,
            "The encoder gives the two contrasts of one anatomy codes as different as those of strangers.",
            (
                failing,
                f"Content is {latent.content:.2f} of std(z) (aim: {limits.content:g}); codes of different images "
                f"differ by {latent.unrelated:.2f}.",
            ),
            "Weigh content more.",
            {"loss_weights.content": 10 * evidence.static.loss_weights["content"] if evidence.static else 1.0},
            sure=False,
        )
    return _capacity(evidence, (failing, f"Cross changes by {cross.slope:+.1%} per epoch."))


def _curves(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    """The same question from the curves alone."""
    trend = evidence.trend
    if trend is None or "cross" not in trend.losses:
        return None
    if evidence.static is not None and evidence.static.fine_tuned:
        return None  # losses of a network that was good from the start are flat
    cross, recon = trend.losses["cross"], trend.losses.get("recon")  # without a weight there is no recon
    learns = trend.score_gain is not None and trend.score_gain > limits.score_gain
    if learns or cross.drop >= limits.flat:
        return None
    flat = f"Cross is flat: {cross.drop:.0%} is gone after {trend.epochs} epochs (need {limits.flat:.0%})."
    if recon is not None and recon.drop >= limits.falling:
        falling = f"Recon falls meanwhile: {recon.drop:.0%} is gone."
        return Verdict(
            Kind.SKIPS,
            "Recon falls and cross does not: the decoders lean on what only the same-domain path has.",
            (flat, falling),
            "Diagnose the run folder with its weights to prove it; else give no path any skips.",
            {"cross_domain_strategy": "no_skip", "same_domain_use_skip": None},
            sure=False,
        )
    content = trend.losses.get("content")
    if content is not None and content.last < limits.content / 10:
        kept = f" while recon kept {1 - recon.drop:.0%} of its start" if recon is not None else ""
        return Verdict(
            Kind.COLLAPSED,
            "Nothing is learned but equal codes: the latent code has most likely collapsed.",
            (flat, f"Content fell to {content.last:.2g}{kept}."),
            "Weigh content less and train anew.",
            {"loss_weights.content": 0.0002, "initial_weights": ""},
            sure=False,
        )
    if recon is not None and recon.last >= limits.recon:
        return Verdict(
            Kind.DECODER,
            "Neither recon nor cross falls, and recon is as large as it is without any learning.",
            (flat, f"Recon is {recon.last:.2f} (at most {limits.recon:g})."),
            "Train anew from fresh weights; if it stays so, lower the learning rate.",
            {"initial_weights": ""},
            sure=False,
        )
    also = () if recon is None else (f"Recon is flat too: {recon.drop:.0%} is gone.",)
    return _capacity(evidence, (flat, *also))


def _capacity(evidence: Evidence, reasons: tuple[str, ...]) -> Verdict:
    latent = evidence.measured.latent if evidence.measured is not None else None
    if latent is not None:
        reasons += (f"The code uses {latent.rank:.0f} of {latent.channels} channels (effective rank).",)
    return Verdict(
        Kind.CAPACITY,
        "The losses are flat, too high, and nothing else explains it: the code is most likely too small.",
        reasons,
        "Widen the code.",
        {"encoder.latent_channels": 1024},
        sure=False,
    )
