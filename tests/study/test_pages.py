# SPDX-License-Identifier: Apache-2.0
"""The pages that tell of the study say what its tables hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.networks import STRATEGIES
from scripts.study.curves import Epoch
from scripts.study.grid import read_grid
from scripts.study.page import DIRECTIONS
from scripts.study.results import COSTS, CURVES, TABLE, fill_page
from scripts.study.rows import read_csv
from scripts.study.table import Line, RowCost

DOCS = Path(__file__).resolve().parents[2] / "bundle" / "docs"
PAGES = ("WHY_CROSS_LOSS_FAILS.md", "ANALYSIS_DECODER_ISSUE.md", "NOISE_LEAKAGE_ANALYSIS.md")


@pytest.fixture(scope="module")
def lines() -> dict[tuple[str, str, str], Line]:
    found = read_csv(DOCS / "study" / TABLE, Line)
    return {(line.row, line.direction, line.measure): line for line in found}


@pytest.fixture(scope="module")
def fell() -> dict[str, float]:
    """Share of the first epoch's cross that the last has lost, by row, mean over seeds."""
    epochs = read_csv(DOCS / "study" / CURVES, Epoch)
    last = max(one.epoch for one in epochs)

    def mean(row: str, epoch: int) -> float:
        values = [one.cross for one in epochs if (one.row, one.epoch) == (row, epoch)]
        return sum(values) / len(values)

    whole = {one.row for one in epochs if one.epoch == last}
    return {row: 1 - mean(row, last) / mean(row, 1) for row in whole}


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_of_a_page_are_those_of_the_csv_files(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    assert "<!-- study: " in page
    assert fill_page(page, DOCS / "study", read_grid("cpu")) == page


@pytest.mark.parametrize("name", PAGES)
def test_pictures_of_a_page_are_there(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    shown = [part.split(")")[0] for part in page.split("](")[1:]]
    assert all((DOCS / path.split("#")[0]).is_file() for path in shown if not path.startswith("http")), shown


def test_the_default_has_the_lowest_cross_loss_of_all_strategies_in_every_epoch() -> None:
    found: dict[tuple[str, int], list[float]] = {}
    for one in read_csv(DOCS / "study" / CURVES, Epoch):
        found.setdefault((one.row, one.epoch), []).append(one.cross)
    cross = {key: sum(values) / len(values) for key, values in found.items()}
    for epoch in {epoch for _, epoch in cross}:
        assert min(STRATEGIES, key=lambda row: cross[row, epoch]) == read_grid("cpu").default


def test_zero_skip_is_not_flat_and_as_poor_as_no_skip(
    lines: dict[tuple[str, str, str], Line], fell: dict[str, float]
) -> None:
    assert fell["zero_skip"] > 1 / 3 and fell["no_skip"] > 1 / 3
    for direction in DIRECTIONS:
        zero, none = (lines[row, direction, "psnr"] for row in ("zero_skip", "no_skip"))
        for line in (zero, none):  # about a decibel below source_skip, and not by chance
            assert -1.3 < line.difference < -0.8 and line.difference_high < 0
        assert abs(zero.mean - none.mean) < 0.25


def test_the_default_is_the_best_strategy_in_both_directions(lines: dict[tuple[str, str, str], Line]) -> None:
    for direction in DIRECTIONS:
        others = [lines[row, direction, "psnr"] for row in STRATEGIES if row != read_grid("cpu").default]
        assert all(line.difference_high < 0 for line in others)


def test_beside_plain_networks_it_is_as_good_and_leaks_half(lines: dict[tuple[str, str, str], Line]) -> None:
    default = read_grid("cpu").default
    for direction, worst in zip(DIRECTIONS, (0.2, 0.0), strict=True):
        for row in ("basic_unet", "basic_unet_smooth"):
            assert lines[row, direction, "psnr"].difference < worst  # 0.2 dB is the margin of being no worse
            for measure in ("nli_muscle_snr10", "nli_cartilage_snr10"):
                assert lines[default, direction, measure].mean < 0.75 * lines[row, direction, measure].mean


def test_leakage_lies_below_the_wiener_filter_where_the_page_says_so(lines: dict[tuple[str, str, str], Line]) -> None:
    default = read_grid("cpu").default
    for tissue in ("muscle", "cartilage"):
        for snr in (10, 3):
            found = lines[default, "PD to PDFS", f"nli_{tissue}_snr{snr}"].mean
            assert found < lines[default, "PD to PDFS", f"wiener_{tissue}_snr{snr}"].mean
    for row in ("no_skip", "zero_skip"):
        assert (
            lines[row, "PD to PDFS", "nli_muscle_snr10"].mean
            < 0.5 * lines[default, "PD to PDFS", "nli_muscle_snr10"].mean
        )
        assert lines[row, "PD to PDFS", "edge"].mean < 0.5 * lines[default, "PD to PDFS", "edge"].mean


def test_neither_copying_noise_nor_doing_without_recon_changes_what_leaks(
    lines: dict[tuple[str, str, str], Line],
) -> None:
    for direction in DIRECTIONS:
        for row in ("recon_identity", "no_recon"):
            found, default = (lines[one, direction, "nli_muscle_snr10"].mean for one in (row, read_grid("cpu").default))
            assert found == pytest.approx(default, rel=0.15)


def test_recon_does_not_pay_for_its_arithmetic(lines: dict[tuple[str, str, str], Line]) -> None:
    there, back = (lines["no_recon", direction, "psnr"] for direction in DIRECTIONS)
    assert there.difference == pytest.approx(0.5, abs=0.15) and there.difference_low > 0
    assert back.difference == pytest.approx(0.2, abs=0.15) and back.difference_low > 0


def test_the_default_takes_a_third_of_a_plain_networks_time() -> None:
    seconds = {cost.row: cost.seconds for cost in read_csv(DOCS / "study" / COSTS, RowCost)}
    assert all(seconds[read_grid("cpu").default] < 0.4 * seconds[row] for row in ("basic_unet", "basic_unet_smooth"))


FACTORS = ("separate_encoders", "recon_20", "slow", "batch_norm", "no_norm", "shallow")


def test_no_factor_makes_cross_flat_and_the_predecessors_weights_make_it_flattest(fell: dict[str, float]) -> None:
    assert all(fell[f"zero_skip_{factor}"] > 1 / 3 for factor in FACTORS)
    assert min(fell, key=lambda row: fell[row]) == "zero_skip_predecessors_weights"
    assert 0.2 < fell["zero_skip_predecessors_weights"] < 0.3


def test_what_the_factors_cost(lines: dict[tuple[str, str, str], Line]) -> None:
    for direction in DIRECTIONS:
        cost = {
            factor: lines["zero_skip", direction, "psnr"].mean - lines[f"zero_skip_{factor}", direction, "psnr"].mean
            for factor in FACTORS
        }
        assert 0.4 < cost["recon_20"] < 0.65 and 0.4 < cost["slow"] < 0.65
        assert all(0 < cost[norm] < 0.35 for norm in ("batch_norm", "no_norm"))
        assert cost["separate_encoders"] < 0.1
        assert -0.6 < cost["shallow"] < -0.3


CANDIDATES = ("three_slices", "large_kernels", "physics_hint")


def test_what_did_not_win(lines: dict[tuple[str, str, str], Line]) -> None:
    def mean(row: str, direction: str, measure: str = "psnr") -> float:
        return lines[row, direction, measure].mean

    for direction in DIRECTIONS:
        for row in CANDIDATES:
            assert -0.1 < mean(row, direction) - mean("no_recon", direction) < 0.2
            assert mean(row, direction) < mean("no_recon_structure", direction)
        leak = {row: mean(row, direction, "nli_cartilage_snr10") for row in (*CANDIDATES, "no_recon")}
        assert leak["three_slices"] < leak["no_recon"] < leak["physics_hint"]
        assert abs(mean("edges", direction) - mean("structure", direction)) < 0.1
        assert mean("edges", direction, "edge") < mean("structure", direction, "edge")
        assert all(0 < lines[row, direction, "psnr"].difference < 0.15 for row in ("no_content", "content_anchored"))
        assert lines["pix2pix", direction, "psnr"].difference < -1
        assert mean("pix2pix", direction, "nli_muscle_snr10") > 1.5 * mean("source_skip", direction, "nli_muscle_snr10")
    noisy, rician = (lines[row, "PD to PDFS", "psnr"].difference for row in ("noisy_targets", "noisy_targets_rician"))
    assert noisy < 0 and 0.3 < 1 - rician / noisy < 0.7


def test_an_adversarial_step_costs_three_times_as_much() -> None:
    steps = {cost.row: cost.step_gflop for cost in read_csv(DOCS / "study" / COSTS, RowCost)}
    assert 2.5 < steps["pix2pix"] / steps["basic_unet"] < 3.5


def test_a_structural_term_sharpens_and_is_best_without_recon(lines: dict[tuple[str, str, str], Line]) -> None:
    default = read_grid("cpu").default
    for direction, gain in zip(DIRECTIONS, (0.75, 0.35), strict=True):
        edges = {row: lines[row, direction, "edge"].mean for row in ("structure", "no_recon_structure", default)}
        assert edges["no_recon_structure"] > edges["structure"] > edges[default]
        best = lines["no_recon_structure", direction, "psnr"]
        assert best.difference == pytest.approx(gain, abs=0.15) and best.difference_low > 0
        trained = [row for row, where, measure in lines if (where, measure) == (direction, "psnr") and "_" in row]
        thrice = lines["no_recon", direction, "psnr"]
        by_seed = 0 if direction == DIRECTIONS[0] else thrice.seed_high - thrice.seed_low
        assert best.mean > max(lines[row, direction, "psnr"].mean for row in trained if row != best.row) - by_seed
        more = lines["no_recon_structure_03", direction, "edge"].mean
        assert more > edges["no_recon_structure"] and lines["no_recon_structure_03", direction, "psnr"].mean < best.mean
    leak, usual, wiener = (
        {snr: lines[row, "PD to PDFS", f"{kind}_cartilage_snr{snr}"].mean for snr in (10, 3)}
        for row, kind in (("no_recon_structure", "nli"), (default, "nli"), (default, "wiener"))
    )
    assert all(leak[snr] > usual[snr] for snr in leak)
    assert leak[10] < wiener[10] and leak[3] > wiener[3]
