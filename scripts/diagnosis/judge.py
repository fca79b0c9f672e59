# SPDX-License-Identifier: Apache-2.0
"""One verdict from all the evidence: what is certain by itself first, then what failing losses are explained by."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scripts.diagnosis import faults
from scripts.diagnosis.evidence import REAL, Evidence, Measured
from scripts.diagnosis.failing import explain_losses
from scripts.diagnosis.thresholds import Thresholds
from scripts.diagnosis.verdict import Kind, Verdict

Check = Callable[[Evidence, Thresholds], Verdict | None]


def judge(evidence: Evidence, limits: Thresholds | None = None) -> Verdict:
    """Judge a run.

    Args:
        evidence: all that is known of it.
        limits: where health ends.
    """
    limits = limits or Thresholds()
    checks: tuple[Check, ...] = (
        faults.broken,
        faults.asymmetric,
        faults.unpaired,
        faults.frozen,
        faults.dead_decoder,
        faults.recon_dominates,
        faults.collapsed,
        faults.dead_encoder,  # a constant code leaves no gradient either
        _too_early,
        explain_losses,
    )
    for check in checks:
        verdict = check(evidence, limits)
        if verdict is not None:
            return verdict
    return Verdict(Kind.HEALTHY, "Healthy: nothing that was looked at speaks against this run.", _good(evidence))


def _too_early(evidence: Evidence, limits: Thresholds) -> Verdict | None:
    done = evidence.epochs_done
    if done is None or done >= limits.epochs:
        return None
    what = "Nothing found in the settings" + (" or the data" if evidence.measured is not None else "")
    return Verdict(
        Kind.EARLY,
        f"{what}; too early to tell whether it learns: {done} of at least {limits.epochs} epochs are done.",
        _good(evidence),
        f"Train for at least {limits.epochs} epochs, then diagnose the run folder.",
    )


def _good(evidence: Evidence) -> tuple[str, ...]:
    """What speaks for a run."""
    return tuple(_praise(evidence.measured)) if evidence.measured is not None else ()


def _praise(measured: Measured) -> Iterator[str]:
    yield f"Both paths see {'real' if measured.same_domain == REAL else 'no'} skips."
    yield f"Pairs share {measured.pairing.information:.1f} times the information of unrelated images."
    yield f"Cross is {measured.cross.relative:.2f} times the error of the best fixed intensity mapping."
    yield f"The code has an effective rank of {measured.latent.rank:.0f} of {measured.latent.channels}."
