# SPDX-License-Identifier: Apache-2.0
"""From rows to the table: intervals over patients, paired gains, honest heads."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.errors import UsageError
from scripts.metrics.summary import CaseScore, bootstrap_mean, score_tables, summarise
from scripts.metrics.tables import to_csv, to_latex, to_markdown


def case(patient: str, method: str, psnr: float, data: str = "simulated", scaling: str = "as stored") -> CaseScore:
    """A row with a PSNR and made-up companions."""
    scores = {"psnr": psnr, "ssim": psnr / 50, "mae": 0.1, "nmse": 0.2}
    return CaseScore(data, patient, "PD to PDFS", method, "clean", scaling, scores, 1.0)


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
    rows = [case("a", "model", 30.0), case("a", "model", 33.0, scaling="gain matched")]
    means = [(line.scaling, line.scores["psnr"].mean) for line in summarise(rows, [])]
    assert means == [("as stored", 30.0), ("gain matched", 33.0)]


@pytest.mark.parametrize("data", ["simulated", "user's"])
def test_every_table_says_what_kind_of_data_it_was_measured_on(data: str) -> None:
    rows = [case(patient, method, 30.0, data) for patient in "ab" for method in ("model", "copy")]
    lines = summarise(rows, ["copy"])
    (table,) = score_tables(lines)
    text = to_markdown(table)
    rules = [line for line in text.splitlines() if set(line) == set("|-")]
    assert len(rules) == 1 and text.count(f"| {data} data, 2 patients |") == 1
    assert f"### {data.capitalize()} data" in text and "protocol ours" in text
    assert f"{data.capitalize()} data" in to_latex(table) and "protocol ours" in to_latex(table)
    assert all(line.as_row()["data"] == data and line.as_row()["protocol"] == "ours" for line in lines)
    assert rows[0].as_row()["data"] == data


def test_simulated_and_acquired_decibels_never_stand_in_one_table() -> None:
    simulated, acquired = case("a", "model", 30.0, "simulated"), case("b", "model", 31.0, "user's")
    with pytest.raises(UsageError, match="simulated and user's data"):
        summarise([simulated, acquired], [])
    # Nor where each was summarised on its own, and the lines are put together.
    with pytest.raises(UsageError, match="simulated and user's data"):
        score_tables([*summarise([simulated], []), *summarise([acquired], [])])


def test_protocols_and_registrations_have_tables_of_their_own() -> None:
    from dataclasses import replace

    one = case("a", "model", 30.0)
    rows = [one, replace(one, protocol="fastmri"), replace(one, registration="registered rigidly to the source")]
    titles = [table.title for table in score_tables(summarise(rows, []))]
    assert len(titles) == 3
    assert sum("protocol fastmri" in title for title in titles) == 1
    assert sum("registered rigidly to the source" in title for title in titles) == 1


def test_a_patient_of_several_images_counts_once() -> None:
    from dataclasses import replace

    rows = [replace(case("a", "model", value), case=name) for name, value in (("sag", 20.0), ("cor", 30.0))]
    rows.append(replace(case("b", "model", 35.0), case="sag"))
    (line,) = summarise(rows, [])
    assert line.patients == 2 and line.scores["psnr"].mean == pytest.approx((25.0 + 35.0) / 2)


def test_a_table_keeps_its_words_in_every_form() -> None:
    from scripts.metrics.tables import Table

    table = Table("50 % of A_B & C", ("x", "y"), (("1", "2"),))
    latex = to_latex(table)
    assert r"50 \% of A\_B \& C" in latex and r"1 & 2 \\" in latex and r"\begin{tabular}{lr}" in latex
    assert to_csv([{"a": "1,5", "b": "x"}]) == 'a,b\n"1,5",x\n' and to_csv([]) == ""
