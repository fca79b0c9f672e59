# SPDX-License-Identifier: Apache-2.0
"""Score one image: every method, reference, registration and scaling, by one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from scripts.metrics.baselines import BASELINES
from scripts.metrics.image import match_gain
from scripts.metrics.protocols import OURS, Protocol
from scripts.metrics.summary import AS_GIVEN, AS_STORED, GAIN_MATCHED, CaseScore

MODEL = "model"
NOISY, CLEAN = "noisy", "clean"


@dataclass(frozen=True)
class Reference:
    """What a prediction is held against.

    Args:
        name: ``clean`` (noise-free, simulation only) or ``noisy`` (as acquired).
        volume: the target ``(1, D, H, W)``.
        body: where it is measured, same shape.
        registration: ``as given``, or what moved the target onto the source.
    """

    name: str
    volume: Tensor
    body: Tensor
    registration: str = AS_GIVEN


@dataclass(frozen=True)
class Case:
    """One image with its synthesis; all volumes ``(1, D, H, W)`` on the fixed scale.

    Args:
        data: kind of data, see `CaseScore`.
        patient: the patient's key.
        direction: for example ``PD to PDFS``.
        pred: the synthesis.
        references: its targets, at least one.
        source: what it was made from; None where it is not at hand, and then there are no baselines.
        name: tells several images of one patient apart.
        method: name of the method.
        masks: tissues by name, for `scripts.metrics.measures`.
        regions: where the masks come from.
    """

    data: str
    patient: str
    direction: str
    pred: Tensor
    references: tuple[Reference, ...]
    source: Tensor | None = None
    name: str = ""
    method: str = MODEL
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    regions: str = ""


def score_case(case: Case, protocol: Protocol = OURS) -> list[CaseScore]:
    """One row per reference, method and scaling.

    The mappings are fitted anew on each reference and where the protocol measures, so that each is the bound for the
    column it stands in.

    Raises:
        ValueError: volumes that do not fit one another, see :mod:`scripts.metrics.image`.
    """
    rows = []
    for reference in case.references:
        target, region = protocol.view(reference.volume)[None], protocol.region(reference.body)[None]
        for method, volume in methods_of(case, target, region, protocol).items():
            matched, gain = match_gain(volume, target, region)
            for scaling, measured, factor in ((AS_STORED, volume, 1.0), (GAIN_MATCHED, matched, float(gain))):
                scores = {name: float(value) for name, value in protocol.score(measured, target, region).items()}
                rows.append(
                    CaseScore(
                        data=case.data,
                        patient=case.patient,
                        direction=case.direction,
                        method=method,
                        reference=reference.name,
                        scaling=scaling,
                        scores=scores,
                        gain=factor,
                        protocol=protocol.name,
                        registration=reference.registration,
                        case=case.name,
                    )
                )
    return rows


def methods_of(case: Case, target: Tensor, region: Tensor, protocol: Protocol = OURS) -> dict[str, Tensor]:
    """The synthesis and each baseline for one target, ``(1, 1, D, H, W)`` each, as the protocol sees them."""
    methods = {case.method: protocol.view(case.pred)[None]}
    if case.source is not None:
        source = protocol.view(case.source)[None]
        methods |= {name: make(source, target, region) for name, make in BASELINES.items()}
    return methods
