# SPDX-License-Identifier: Apache-2.0
"""How many patients it takes: trained and measured on a scale of seconds, and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.study.patients import (
    ELSEWHERE,
    FINETUNED,
    HOME,
    PATIENTS,
    SCRATCH,
    SHIPPED,
    Learned,
    Plan,
    joined,
    run_patients,
)
from scripts.study.patients_page import REFERENCES, draw_patients, patients_table
from scripts.study.rows import read_csv


@pytest.mark.slow
def test_a_learning_curve_from_patients_to_the_table(tmp_path: Path) -> None:
    settings = {"samples_per_epoch": 2, "max_epochs": 1, "augmentation::size": [32, 32]}
    plan = Plan(sizes=(2,), tested=2, shape=(3, 48, 48), settings=settings)
    found = run_patients(plan, tmp_path / "out", tmp_path / "cache")
    assert {(one.start, one.scanner, one.reference) for one in found} == {
        (start, scanner, reference)
        for start in (SHIPPED, FINETUNED, SCRATCH)
        for scanner in (ELSEWHERE, HOME)
        for reference in REFERENCES
    }
    by_start = {(one.start, one.scanner, one.direction): one for one in found if one.reference == "clean"}
    for (start, *_), one in by_start.items():
        assert one.tested == 2 and one.low <= one.psnr <= one.high
        assert (one.gain == 0) == (start == SHIPPED)
    # Two steps from trained weights are still trained weights; two steps from random ones are not.
    for scanner in (ELSEWHERE, HOME):
        assert by_start[FINETUNED, scanner, "PD to PDFS"].psnr > by_start[SCRATCH, scanner, "PD to PDFS"].psnr
    assert read_csv(tmp_path / "out" / PATIENTS, Learned)[-1].start == SCRATCH
    trained = json.loads((tmp_path / "out" / "fine-tuned-2-seed0" / "pairs.json").read_text())["pairs"]
    tested = json.loads((tmp_path / "out" / "test-elsewhere.json").read_text())["pairs"]
    assert sorted(pair["section"] for pair in trained) == ["training", "validation"]
    assert not {pair["patient"] for pair in trained} & {pair["patient"] for pair in tested}
    assert all("label_clean" not in pair for pair in trained)
    before = (tmp_path / "out" / PATIENTS).stat().st_mtime_ns
    weights = tmp_path / "out" / "fine-tuned-2-seed0" / "run" / "model.pt"
    stamp = weights.stat().st_mtime_ns
    assert run_patients(plan, tmp_path / "out", tmp_path / "cache") == found
    assert weights.stat().st_mtime_ns == stamp and (tmp_path / "out" / PATIENTS).stat().st_mtime_ns > before


def learned(start: str, patients: int, scanner: str, direction: str, psnr: float) -> Learned:
    return Learned(start, patients, 0, scanner, direction, "noisy", 20, psnr, psnr - 0.5, psnr + 0.5, 1.25, 0.75, 1.75)


def test_what_was_measured_elsewhere_is_kept_beside_the_same_weights() -> None:
    def lines(*rows: tuple[str, int, float]) -> list[Learned]:
        return [learned(start, patients, HOME, "PD to PDFS", psnr) for start, patients, psnr in rows]

    before = lines((SHIPPED, 0, 18.0), (FINETUNED, 5, 16.0), (SCRATCH, 5, 15.0), (FINETUNED, 20, 17.0))
    now = lines((SHIPPED, 0, 18.0), (FINETUNED, 20, 17.5), (SCRATCH, 20, 16.5))
    found = [(one.start, one.patients, one.psnr) for one in joined(before, now)]
    assert found == [
        (SHIPPED, 0, 18.0), (FINETUNED, 5, 16.0), (SCRATCH, 5, 15.0), (FINETUNED, 20, 17.5), (SCRATCH, 20, 16.5),
    ]  # fmt: skip
    others = lines((SHIPPED, 0, 19.0), (FINETUNED, 20, 17.5))
    assert joined(before, others) == others


def test_the_table_has_a_row_for_each_number_of_patients(tmp_path: Path) -> None:
    lines = [
        learned(start, patients, scanner, direction, 15 + patients / 10)
        for start, patients in ((SHIPPED, 0), (FINETUNED, 5), (SCRATCH, 5), (FINETUNED, 20))
        for scanner in (ELSEWHERE, HOME)
        for direction in ("PD to PDFS", "PDFS to PD")
    ]
    head, _, *rows = patients_table(lines, "noisy").splitlines()
    assert len(rows) == 4 and all(row.count("|") == head.count("|") for row in rows)
    assert "+1.25" not in rows[0] and rows[1].count("+1.25 [+0.75, +1.75]") == 4
    assert rows[3].startswith("| fine-tuned | 20 | 0 | 17.00 [16.50, 17.50]")
    draw_patients(lines, tmp_path / "patients.png")
    assert (tmp_path / "patients.png").read_bytes().startswith(b"\x89PNG")
