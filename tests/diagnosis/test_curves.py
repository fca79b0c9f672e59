# SPDX-License-Identifier: Apache-2.0
"""Verdicts from settings and curves alone; the curves are planted, several seeds of noise each."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, replace

import pytest

from scripts.bundle_config import read_config
from scripts.diagnosis.evidence import Evidence, Static
from scripts.diagnosis.judge import judge
from scripts.diagnosis.run import diagnose
from scripts.diagnosis.static import static_evidence
from scripts.diagnosis.thresholds import Thresholds
from scripts.diagnosis.trend import read_trend
from scripts.diagnosis.verdict import Kind
from scripts.errors import FaultFound, UsageError

WEIGHTS = {"content": 0.002, "recon": 0.05, "cross": 1.0}
HEALTHY = static_evidence(WEIGHTS, "source_skip")


def curve(epochs: int, seed: int, noise: float = 0.005, **losses: tuple[float, float, float]) -> list[dict[str, float]]:
    """Each loss falls from a first value to a last one, exponentially, by the given rate per epoch."""
    dice = random.Random(seed)
    return [
        {"epoch": epoch + 1}
        | {
            name: (last + (first - last) * math.exp(-rate * epoch)) * (1 + dice.gauss(0, noise))
            for name, (first, last, rate) in losses.items()
        }
        for epoch in range(epochs)
    ]


def kind(rows: list[dict[str, float]], static: Static | None = HEALTHY) -> Kind:
    return judge(Evidence(static=static, trend=read_trend(rows))).kind


def test_a_slope_is_the_relative_change_per_epoch() -> None:
    trend = read_trend([{"epoch": i + 1, "cross": 2 * 0.9**i} for i in range(8)])
    assert trend is not None
    assert trend.losses["cross"].slope == pytest.approx(-0.1)
    assert trend.losses["cross"].first == 2


def test_slopes_need_three_epochs() -> None:
    assert read_trend([]) is None
    two = read_trend(curve(2, 0, cross=(1, 0.1, 1)))
    assert two is not None and two.losses == {}
    assert kind(curve(2, 0, cross=(1, 0.1, 1), recon=(1, 0.1, 1))) is Kind.EARLY


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "losses",
    [
        {"cross": (0.089, 0.08, 0.5), "recon": (0.055, 0.044, 0.5), "content": (0.09, 0.09, 1)},
        {"cross": (0.30, 0.25, 0.2), "recon": (0.2, 0.16, 0.2), "content": (0.24, 0.02, 0.5)},
        {"cross": (1.5, 0.5, 0.3), "recon": (1.5, 1.0, 0.3), "content": (0.5, 0.01, 0.4)},
    ],
    ids=["slow", "steady", "the predecessor's"],
)
def test_healthy_curves_are_healthy(seed: int, losses: dict[str, tuple[float, float, float]]) -> None:
    assert kind(curve(12, seed, **losses)) is Kind.HEALTHY


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ({"cross": (1.5, 1.49, 0.5), "recon": (1.5, 0.5, 0.5), "content": (0.5, 0.3, 0.5)}, Kind.SKIPS),
        ({"cross": (0.3, 0.3, 1), "recon": (0.3, 0.29, 1), "content": (0.2, 0.001, 1)}, Kind.COLLAPSED),
        ({"cross": (1.5, 1.5, 1), "recon": (1.5, 1.5, 1), "content": (0.5, 0.3, 0.5)}, Kind.DECODER),
        ({"cross": (0.3, 0.3, 1), "recon": (0.3, 0.3, 1), "content": (0.2, 0.15, 0.5)}, Kind.CAPACITY),
        ({"cross": (0.3, 0.3, 1), "recon": (0.0, 0.0, 1), "content": (0.2, 0.15, 0.5)}, Kind.CAPACITY),
        ({"cross": (0.3, 0.3, 1), "recon": (0.0, 0.0, 1), "content": (0.2, 0.001, 1)}, Kind.COLLAPSED),
    ],
)
def test_flat_cross_losses_are_explained(
    seed: int, losses: dict[str, tuple[float, float, float]], expected: Kind
) -> None:
    assert kind(curve(10, seed, **losses)) is expected


def test_what_excuses_a_flat_cross_loss() -> None:
    rows = curve(10, 0, cross=(0.1, 0.1, 1), recon=(0.3, 0.1, 0.5))
    assert kind(rows) is Kind.SKIPS
    assert kind(rows, replace(HEALTHY, fine_tuned=True)) is Kind.HEALTHY
    rows[0]["val_psnr"], rows[-1]["val_psnr"] = 20.0, 21.0
    assert kind(rows) is Kind.HEALTHY


@pytest.mark.parametrize(
    ("strategy", "same", "asymmetric"),
    [
        ("no_skip", None, False),
        ("source_skip", None, False),
        ("source_skip", True, False),
        ("zero_skip", None, True),
        ("no_skip", True, True),
        ("source_skip", False, True),
    ],
)
def test_asymmetric_settings(strategy: str, same: bool | None, asymmetric: bool) -> None:
    static = static_evidence(WEIGHTS, strategy, same)
    assert static.asymmetric is asymmetric
    assert (judge(Evidence(static=static)).kind is Kind.SKIPS) is asymmetric


def test_a_flat_cross_loss_adds_to_asymmetric_settings() -> None:
    static = static_evidence(WEIGHTS, "zero_skip")
    flat = curve(8, 0, cross=(1.5, 1.5, 1), recon=(1.5, 0.5, 0.5))
    falling = curve(8, 0, cross=(1.5, 0.5, 0.5), recon=(1.5, 0.5, 0.5))
    reasons = [judge(Evidence(static=static, trend=read_trend(rows))).reasons for rows in (flat, falling)]
    assert len(reasons[0]) == len(reasons[1]) + 1


@pytest.mark.parametrize(("recon", "fault"), [(0.05, False), (1.0, False), (100.0, True)])
def test_recon_weights(recon: float, fault: bool) -> None:
    static = static_evidence(WEIGHTS | {"recon": recon}, "no_skip")
    assert (judge(Evidence(static=static)).kind is Kind.RECON) is fault


def test_thresholds_decide() -> None:
    static = static_evidence(WEIGHTS | {"recon": 5.0}, "no_skip")
    assert not diagnose(static=static).verdict.is_fault
    found = diagnose(static=static, thresholds={"weight_ratio": 2.0})
    assert found.verdict.kind is Kind.RECON
    with pytest.raises(FaultFound) as raised:
        found.refuse()
    assert raised.value.exit_code == 10
    assert "kneesynth train loss_weights.recon=0.05" in str(raised.value)
    with pytest.raises(UsageError, match="weight_ratio"):
        diagnose(thresholds={"no_such": 1.0})


@pytest.mark.parametrize("name", ["train", "diagnose"])
def test_the_configs_list_every_threshold_at_its_default(name: str) -> None:
    assert read_config(f"bundle/configs/{name}.yaml")["thresholds"] == asdict(Thresholds())


def test_weights_must_be_complete() -> None:
    with pytest.raises(UsageError, match="cross"):
        static_evidence({"content": 1, "recon": 1})
