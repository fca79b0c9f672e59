# SPDX-License-Identifier: Apache-2.0
"""From the numbers of all cells to the study's table."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from scripts.errors import UsageError
from scripts.study.curves import Epoch, read_epochs
from scripts.study.grid import Cell, Grid
from scripts.study.measure import Measured, MeasuredLesion
from scripts.study.measure_cell import _write, read_measured
from scripts.study.page import cost_table, curve_table, quality_table
from scripts.study.results import fill_page, publish
from scripts.study.rows import read_csv, write_csv
from scripts.study.table import LESION_SLOPE, Line, study_costs, study_lines
from scripts.study.timing import Timing
from scripts.study.train_cell import TRAINED

DIRECTION = "PD to PDFS"
KNEES = [f"sim-{number}" for number in range(8)]


def grid(cells: dict[str, int]) -> Grid:
    made = [
        Cell(name, seed, {"learning_rate": len(name)}, 1e12) for name, seeds in cells.items() for seed in range(seeds)
    ]
    return Grid("test", sorted(made, key=lambda cell: cell.seed), "ours", len(KNEES), 1, (2, 16, 16))


def fill(folder: Path, level: float, slope: float = 1.0, skip: str = "") -> None:
    """A cell whose PSNR is ``level`` plus the number of the knee, and whose lesions have a known slope."""
    rows = [Measured(knee, DIRECTION, "psnr", level + number) for number, knee in enumerate(KNEES) if knee != skip] + [
        Measured(KNEES[0], DIRECTION, "wiener_muscle_snr10", 0.5)
    ]
    lesions = [
        MeasuredLesion(DIRECTION, "oedema", 10.0, knee, true, slope * true + 0.1, 9.0 if number else 1.0)
        for number, knee in enumerate(KNEES)
        for true in (0.1, 0.1 * number)
    ]
    folder.mkdir(parents=True)
    _write(folder, rows, lesions)


def lines_of(found: list[Line], row: str, measure: str) -> Line:
    (line,) = [line for line in found if (line.row, line.measure) == (row, measure)]
    return line


@pytest.fixture
def study(tmp_path: Path) -> tuple[Grid, Path]:
    plan = grid({"ours": 2, "other": 2, "missing": 1})
    for cell in plan.cells:
        if cell.name != "missing":
            level = {"ours": 20.0, "other": 17.0}[cell.name] + cell.seed
            fill(tmp_path / "cells" / cell.key, level, 0.5 if cell.name == "ours" else 1.0)
    fill(tmp_path / "baselines" / "intensity_mapping", 15.0)
    return plan, tmp_path


def test_tables_of_a_cell_come_back_as_they_were_written(tmp_path: Path) -> None:
    fill(tmp_path / "cell", 20.0)
    rows, lesions = read_measured(tmp_path / "cell")
    assert rows[1] == Measured("sim-1", DIRECTION, "psnr", 21.0)
    assert lesions[3] == MeasuredLesion(DIRECTION, "oedema", 10.0, "sim-1", 0.1, 0.2, 9.0)


def test_means_are_over_knees_of_means_over_seeds_and_differences_are_paired(study: tuple[Grid, Path]) -> None:
    found = study_lines(*study)
    ours, other = lines_of(found, "ours", "psnr"), lines_of(found, "other", "psnr")
    assert ours.mean == pytest.approx(20 + 3.5 + 0.5) and ours.seeds == 2 and ours.knees == 8
    assert (ours.seed_low, ours.seed_high) == pytest.approx((23.5, 24.5))
    assert ours.low < ours.mean < ours.high and math.isnan(ours.difference)
    # Knees differ by decibels, the rows by three in every knee: the paired interval has no width.
    assert (other.difference, other.difference_low, other.difference_high) == pytest.approx((-3, -3, -3))
    assert lines_of(found, "intensity mapping", "psnr").difference == pytest.approx(-5.5)
    assert "missing" not in {line.row for line in found}


def test_a_knee_without_a_number_in_one_seed_is_left_out(study: tuple[Grid, Path]) -> None:
    plan, out = study
    folder = out / "cells" / next(cell.key for cell in plan.cells if cell.name == "other")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    fill(folder, 17.0, skip=KNEES[7])
    line = lines_of(study_lines(plan, out), "other", "psnr")
    assert line.knees == 7 and line.difference == pytest.approx(-3)


def test_the_slope_is_that_of_lesions_that_the_source_shows(study: tuple[Grid, Path]) -> None:
    found = study_lines(*study)
    assert lines_of(found, "ours", LESION_SLOPE).mean == pytest.approx(0.5)
    assert lines_of(found, "other", LESION_SLOPE).mean == pytest.approx(1.0)
    assert lines_of(found, "other", LESION_SLOPE).knees == 14  # lesions; those of the first knee do not show


def test_the_page_says_what_the_table_holds(study: tuple[Grid, Path]) -> None:
    plan, out = study
    page = quality_table(study_lines(plan, out), DIRECTION, plan.default)
    (other,) = [line for line in page.splitlines() if line.startswith("| other ")]
    assert "21.00" in other and "-3.00 [-3.00, -3.00]" in other and "20.50, 21.50" in other
    assert "Wiener" in page and "| 0.50 |" in page
    assert "nan" not in page and "nan" not in write_csv(study_lines(plan, out), Line)


def train(study: tuple[Grid, Path], number: int, cross: tuple[float, ...]) -> None:
    """Leave behind what a training of a cell does."""
    plan, out = study
    folder = out / "cells" / plan.cells[number].key
    run = folder / "run"
    run.mkdir()
    rows = "".join(f"{epoch},0,0.3,{value},60\n" for epoch, value in enumerate(cross, 1))
    (run / "curves.csv").write_text(f"epoch,content,recon,cross,seconds\n{rows}")
    told = {"run": str(run), "parameters": 2_000_000, "slice_flops": 1e9, "step_flops": 4e9, "steps": 250}
    (folder / TRAINED).write_text(json.dumps(told))


def test_costs_come_from_what_was_trained(study: tuple[Grid, Path]) -> None:
    plan, out = study
    train(study, 0, (0.2, 0.1, 0.1))
    (cost,) = study_costs(plan, out, [Timing("ours", 3.0, 0.75, 2), Timing("another", 1.0, 0.5, 2)])
    assert (cost.row, cost.steps, cost.seconds, cost.peak_gib) == ("ours", 250, 3.0, 0.75)
    assert cost.budget_tflop == pytest.approx(1.0)
    assert "| ours | 2.00 | 1.00 | 4.00 | 250 | 1 | 3.00 | 0.75 |" in cost_table([cost], plan)
    (untimed,) = study_costs(plan, out, [])
    assert "nan" not in cost_table([untimed], plan)


def test_curves_say_how_much_of_cross_is_gone(study: tuple[Grid, Path]) -> None:
    plan, out = study
    for number, cell in enumerate(plan.cells):
        if cell.name == "ours":
            train(study, number, (0.4, 0.3, 0.2 + 0.02 * cell.seed))
    epochs = read_epochs(plan, out)
    assert epochs[0].cross == 0.4 and math.isnan(epochs[0].content)
    table = curve_table(epochs)
    assert "| ours | 2 | smooth | 0.4000 | 0.2100 | 48% | 0% |" in table
    assert read_csv_of(tmp := out / "curves.csv", write_csv(epochs, Epoch))[0].epoch == 1 and tmp.is_file()


def read_csv_of(path: Path, text: str) -> list[Epoch]:
    path.write_text(text)
    return read_csv(path, Epoch)


def test_pages_are_filled_from_the_tables_that_were_written(study: tuple[Grid, Path]) -> None:
    plan, out = study
    train(study, 0, (0.2, 0.1))
    docs = out / "docs"
    docs.mkdir()
    (docs / "WHY.md").write_text("# Why\n\n<!-- study: quality PD to PDFS -->\nold\n<!-- /study -->\n\nend\n")
    publish(plan, out, out / "nothing", out / "nothing", docs)
    page = (docs / "WHY.md").read_text()
    assert page.startswith("# Why\n") and page.endswith("<!-- /study -->\n\nend\n") and "old" not in page
    assert quality_table(study_lines(plan, out), DIRECTION, plan.default) in page
    assert fill_page(page, docs / "study", plan) == page
    for name in ("cross.png", "leakage.png", "compute.png"):
        assert (docs / "study" / name).stat().st_size > 1000
    with pytest.raises(UsageError, match="no table"):
        fill_page("<!-- study: nonsense -->\n<!-- /study -->", docs / "study", plan)
