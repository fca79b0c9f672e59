# SPDX-License-Identifier: Apache-2.0
"""Coverage, sparsification and the area under a ROC curve, where the answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from scripts.uncertainty.measure import COVERED, VOXELS, WHOLE, WIDTH, Value, lines_of
from scripts.uncertainty.measures import auroc, coverage, error_auroc, sparsification
from scripts.uncertainty.page import BEGIN, END, outside, put_into
from scripts.uncertainty.tissues import TISSUES


def test_coverage_counts_pixels_within() -> None:
    assert coverage(torch.tensor([0.1, -0.1, 0.3, -0.4]), torch.tensor([0.1, 0.2, 0.2, 0.2])) == 0.5


def test_sparsification_is_zero_for_a_scale_that_knows_and_chance_for_one_that_does_not() -> None:
    generator = torch.Generator().manual_seed(0)
    error = torch.randn(100_000, generator=generator)
    knows, chance = sparsification(error, error.abs())
    blind, _ = sparsification(error, torch.rand(len(error), generator=generator))
    wrong, _ = sparsification(error, -error.abs())
    assert knows == pytest.approx(0, abs=1e-5)
    assert blind == pytest.approx(chance, abs=0.01)
    assert wrong > 1.5 * chance > 0


def test_auroc_is_the_share_of_ordered_pairs() -> None:
    score = torch.tensor([1.0, 2.0, 2.0, 3.0, 0.5])
    positive = torch.tensor([False, True, False, True, False])
    pairs = [(float(p), float(n)) for p in score[positive] for n in score[~positive]]
    expected = sum((p > n) + 0.5 * (p == n) for p, n in pairs) / len(pairs)
    assert auroc(score, positive) == pytest.approx(expected)
    assert math.isnan(auroc(score, torch.ones(5) > 0))
    assert error_auroc(torch.tensor([0.0, 0.5]), torch.tensor([0.1, 0.2]), 0.1) == 1.0


def values(tissue: str, coverages: list[float]) -> list[Value]:
    numbers = {COVERED: coverages, WIDTH: [20.0] * len(coverages), VOXELS: [500.0] * len(coverages)}
    return [
        Value(f"p{number}", "PDFS", tissue, name, one)
        for name, many in numbers.items()
        for number, one in enumerate(many)
    ]


def test_a_tissue_that_is_not_covered_is_named_unless_few_patients_have_it() -> None:
    found = [*values(WHOLE, [0.9] * 20), *values("muscle", [0.7, 0.9] * 10), *values("meniscus", [0.2] * 3)]
    lines = {line.tissue: line for line in lines_of(found)}
    assert set(lines) == {WHOLE, *TISSUES}
    assert lines["muscle"].coverage == pytest.approx(0.8) and lines["muscle"].least == 0.7
    assert lines["muscle"].low < 0.8 < lines["muscle"].high
    assert lines["marrow"].patients == 0
    assert [line.tissue for line in outside(list(lines.values()))] == ["muscle"]


def test_the_table_goes_between_its_marks_and_nowhere_else(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    put_into(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no place"):
        put_into(page, "new")
