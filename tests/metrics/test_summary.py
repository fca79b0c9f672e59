# SPDX-License-Identifier: Apache-2.0
"""From rows to the table: intervals over patients, paired gains, honest heads."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.metrics.summary import CaseScore, bootstrap_mean, summarise, to_markdown


def case(patient: str, method: str, psnr: float, data: str = "simulated", protocol: str = "as stored") -> CaseScore:
    """A row with a PSNR and made-up companions."""
    scores = {"psnr": psnr, "ssim": psnr / 50, "mae": 0.1, "nmse": 0.2}
    return CaseScore(data, patient, "PD to PDFS", method, "clean", protocol, scores, 1.0)


def test_the_bootstrap_is_decided_by_its_seed_alone() -> None:
    values = torch.randn(20, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    first = bootstrap_mean(values, seed=7)
    state = torch.get_rng_state()
    torch.manual_seed(99)
    assert bootstrap_mean(values, seed=7) == first
    assert bootstrap_mean(values, seed=8) != first
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(2)
    covered = 0
    for _ in range(200):
        estimate = bootstrap_mean(1.0 + torch.randn(30, generator=generator), resamples=500)
        assert estimate.low < estimate.mean < estimate.high
        covered += estimate.low <= 1.0 <= estimate.high
    assert 0.88 <= covered / 200 <= 0.99


def test_a_single_patient_has_no_interval_and_an_infinite_score_no_false_one() -> None:
    single = bootstrap_mean(torch.tensor([30.0]))
    assert single.mean == 30.0 and math.isnan(single.low) and math.isnan(single.high)
    assert single.text(2) == "30.00"
    perfect = bootstrap_mean(torch.tensor([math.inf, math.inf]))
    assert perfect.low == perfect.mean == math.inf
    with pytest.raises(ValueError, match="one value per patient"):
        bootstrap_mean(torch.zeros(0))


def test_gains_are_paired_by_patient_and_not_by_order() -> None:
    scores = {"a": 20.0, "b": 30.0, "c": 40.0}
    rows = [case(patient, "copy", value) for patient, value in scores.items()]
    rows += [case(patient, "model", scores[patient] + 3.0) for patient in ("c", "a", "b")]
    lines = {line.method: line for line in summarise(rows, ["copy"])}
    gain = lines["model"].gains["copy"]["psnr"]
    # Every patient gains 3 dB, so the paired interval has no width although the patients differ by 20 dB.
    assert (gain.mean, gain.low, gain.high) == pytest.approx((3.0, 3.0, 3.0))
    assert lines["model"].scores["psnr"].mean == pytest.approx(33.0)
    assert lines["model"].scores["psnr"].low < 31.0
    assert lines["copy"].gains["copy"]["psnr"].mean == 0.0
    assert lines["model"].patients == 3


def test_rows_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="different patients"):
        summarise([case("a", "model", 30.0), case("b", "copy", 20.0)], ["copy"])
    with pytest.raises(ValueError, match="scored twice"):
        summarise([case("a", "model", 30.0), case("a", "model", 31.0)], [])


def test_ways_of_measuring_are_not_mixed() -> None:
    rows = [case("a", "model", 30.0), case("a", "model", 33.0, protocol="gain matched")]
    means = [(line.protocol, line.scores["psnr"].mean) for line in summarise(rows, [])]
    assert means == [("as stored", 30.0), ("gain matched", 33.0)]


@pytest.mark.parametrize("data", ["simulated", "user's"])
def test_every_table_says_what_kind_of_data_it_was_measured_on(data: str) -> None:
    rows = [case(patient, method, 30.0, data) for patient in "ab" for method in ("model", "copy")]
    lines = summarise(rows, ["copy"])
    text = to_markdown(lines)
    rules = [line for line in text.splitlines() if set(line) == set("|-")]
    assert len(rules) == 1 and text.count(f"| {data} data, 2 patients |") == 1
    assert f"### {data.capitalize()} data" in text
    assert all(line.as_row()["data"] == data for line in lines)
    assert rows[0].as_row()["data"] == data


def test_mixed_data_are_called_mixed() -> None:
    rows = [case("a", "model", 30.0, "simulated"), case("b", "model", 31.0, "user's")]
    assert summarise(rows, [])[0].data == "simulated and user's"
