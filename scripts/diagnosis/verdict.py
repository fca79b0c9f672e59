# SPDX-License-Identifier: Apache-2.0
"""One verdict from all the evidence: what is certain by itself first, then what failing losses are explained by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from scripts.diagnosis.evidence import NONE, REAL, ZEROS, Evidence, Measured, Part
from scripts.diagnosis.thresholds import Thresholds


class Kind(str, Enum):
    """The verdicts."""

    HEALTHY = "healthy"
    ENCODER = "encoder"
    DECODER = "decoder"
    SKIPS = "skip dependency"
    RECON = "recon dominance"
    COLLAPSED = "collapsed latent"
    UNPAIRED = "not truly paired"
    CAPACITY = "capacity"
    EARLY = "too early to tell"


@dataclass(frozen=True)
class Verdict:
    """What is wrong, why, and what mends it.

    Args:
        kind: the verdict.
        sentence: the verdict as one plain sentence.
        reasons: the evidence for it, one sentence each.
        mend: what to do, as one sentence; empty where there is nothing to do.
        settings: what to set in the config, by the keys that ``kneesynth train`` takes; an overlay as it stands.
        sure: whether the evidence proves the fault by itself; else it is the best explanation of failing losses.
    """

    kind: Kind
    sentence: str
    reasons: tuple[str, ...] = ()
    mend: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    sure: bool = True

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong."""
        return self.kind not in (Kind.HEALTHY, Kind.EARLY)


def judge(evidence: Evidence, limits: Thresholds | None = None) -> Verdict:
    """Judge a run.

    Args:
        evidence: all that is known of it.
        limits: where health ends.
    """
    limits = limits or Thresholds()
    checks: tuple[Callable[[Evidence, Thresholds], Verdict | None], ...] = (
        _broken,
        _asymmetric,
        _unpaired,
        _frozen,
        _dead_decoder,
        _recon_dominates,
        _collapsed,
        _dead_encoder,  # a constant code leaves no gradient either
        _too_early,
        _losses,
    )
    for check in checks:
        verdict = check(evidence, limits)
        if verdict is not None:
            return verdict
    return Verdict(Kind.HEALTHY, "Healthy: nothing that was looked at speaks against this run.", _good(evidence))


def _broken(evidence: Evidence, limits: Thresholds) -> Verdict | None:
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


def _asymmetric(evidence: Evidence, limits: Thresholds) -> Verdict | None:
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


def _unpaired(evidence: Evidence, limits: Thresholds) -> Verdict | None:
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


def _frozen(evidence: Evidence, limits: Thresholds) -> Verdict | None:
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


def _dead_decoder(evidence: Evidence, limits: Thresholds) -> Verdict | None:
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


def _dead_encoder(evidence: Evidence, limits: Thresholds) -> Verdict | None:
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


def _recon_dominates(evidence: Evidence, limits: Thresholds) -> Verdict | None:
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


def _collapsed(evidence: Evidence, limits: Thresholds) -> Verdict | None:
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


def _too_early(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    done = _epochs(evidence)
    if done is None or done >= limits.epochs:
        return None
    what = "Nothing found in the settings" + (" or the data" if evidence.measured is not None else "")
    return Verdict(
        Kind.EARLY,
        f"{what}; too early to tell whether it learns: {done} of at least {limits.epochs} epochs are done.",
        _good(evidence),
        f"Train for at least {limits.epochs} epochs, then diagnose the run folder.",
    )


def _losses(evidence: Evidence, limits: Thresholds) -> Verdict | None:
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
    if measured.recon.relative >= limits.recon:
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
    skips, latent = measured.skips, measured.latent
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
    if trend is None or not {"recon", "cross"} <= set(trend.losses):
        return None
    if evidence.static is not None and evidence.static.fine_tuned:
        return None  # losses of a network that was good from the start are flat
    recon, cross = trend.losses["recon"], trend.losses["cross"]
    learns = trend.score_gain is not None and trend.score_gain > limits.score_gain
    if learns or cross.drop >= limits.flat:
        return None
    flat = f"Cross is flat: {cross.drop:.0%} is gone after {trend.epochs} epochs (need {limits.flat:.0%})."
    if recon.drop >= limits.falling:
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
        return Verdict(
            Kind.COLLAPSED,
            "Nothing is learned but equal codes: the latent code has most likely collapsed.",
            (flat, f"Content fell to {content.last:.2g} while recon kept {1 - recon.drop:.0%} of its start."),
            "Weigh content less and train anew.",
            {"loss_weights.content": 0.0002, "initial_weights": ""},
            sure=False,
        )
    if recon.last >= limits.recon:
        return Verdict(
            Kind.DECODER,
            "Neither recon nor cross falls, and recon is as large as it is without any learning.",
            (flat, f"Recon is {recon.last:.2f} (at most {limits.recon:g})."),
            "Train anew from fresh weights; if it stays so, lower the learning rate.",
            {"initial_weights": ""},
            sure=False,
        )
    return _capacity(evidence, (flat, f"Recon is flat too: {recon.drop:.0%} is gone."))


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


def _parts(evidence: Evidence) -> Iterator[tuple[str, Part]]:
    if evidence.measured is not None:
        yield from evidence.measured.parts.items()


def _spoken(part: str) -> str:
    return part.replace("decoder_", "decoder of contrast ")


def _fed(same: str, cross: str) -> str:
    words = {NONE: "no skips", ZEROS: "zeros in place of skips", REAL: "real skips"}
    return f"the same-domain path {words[same]} and the cross-domain path {words[cross]}"


def _epochs(evidence: Evidence) -> int | None:
    if evidence.epochs is not None:
        return evidence.epochs
    return evidence.trend.epochs if evidence.trend is not None else None


def _trained(evidence: Evidence) -> bool:
    """Whether the weights are more than drawn: a fresh decoder's images may be as good as constant."""
    return _epochs(evidence) != 0


def _good(evidence: Evidence) -> tuple[str, ...]:
    """What speaks for a run."""
    return tuple(_praise(evidence.measured)) if evidence.measured is not None else ()


def _praise(measured: Measured) -> Iterator[str]:
    yield f"Both paths see {'real' if measured.same_domain == REAL else 'no'} skips."
    yield f"Pairs share {measured.pairing.information:.1f} times the information of unrelated images."
    yield f"Cross is {measured.cross.relative:.2f} times the error of the best fixed intensity mapping."
    yield f"The code has an effective rank of {measured.latent.rank:.0f} of {measured.latent.channels}."
